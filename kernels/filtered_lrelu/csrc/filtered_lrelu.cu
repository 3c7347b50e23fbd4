// Launches the kernel with the largest tile that fits into shared memory.

#include <cuda_runtime_api.h>

#include "filtered_lrelu_kernel.cuh"

namespace ganvas {
namespace flrelu {
namespace {

constexpr int kSharedBytes = 48 << 10;  // what every GPU gives without asking
constexpr int kLargestTile = 32;
constexpr int64_t kMaxBlocks = 1 << 20;  // more work than this is looped over

template <typename T>
cudaError_t launch(const GanvasFilteredLrelu& call, int tile, cudaStream_t stream) {
  const Layout layout = layout_of(call, tile);
  const int64_t tiles = call.batch * call.channels * ((call.height + tile - 1) / tile) *
                        ((call.width + tile - 1) / tile);
  if (tiles == 0) return cudaSuccess;
  const dim3 grid(static_cast<unsigned>(tiles < kMaxBlocks ? tiles : kMaxBlocks));
  filtered_lrelu_kernel<T>
      <<<grid, kThreads, layout.total * sizeof(float), stream>>>(call, layout, tile);
  return cudaGetLastError();
}

}  // namespace
}  // namespace flrelu
}  // namespace ganvas

// All pointers are the device's. cudaErrorInvalidValue if a filter is too large for any tile.
extern "C" int ganvas_filtered_lrelu_cuda(const GanvasFilteredLrelu* call, int dtype,
                                          cudaStream_t stream) {
  using namespace ganvas::flrelu;
  int tile = kLargestTile;
  while (tile > 0 && layout_of(*call, tile).total * int64_t{sizeof(float)} > kSharedBytes)
    tile /= 2;
  if (tile == 0) return cudaErrorInvalidValue;
  switch (static_cast<DType>(dtype)) {
    case DType::kFloat32:
      return launch<float>(*call, tile, stream);
    case DType::kFloat16:
      return launch<__half>(*call, tile, stream);
    case DType::kBfloat16:
      return launch<__nv_bfloat16>(*call, tile, stream);
  }
  return cudaErrorInvalidValue;
}
