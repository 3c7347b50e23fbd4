// Launches the kernel, with the StyleGAN cases (4 taps, factors of 2) unrolled.

#include "upfirdn2d_kernel.cuh"

namespace {

constexpr int64_t kMaxBlocks = 1 << 16;  // more work than this is looped over

template <typename T, bool kChannelsLast>
cudaError_t launch(const Upfirdn2dParams& p, cudaStream_t stream) {
  const int64_t total = p.batch * p.channels * p.vertical.size_out * p.horizontal.size_out;
  if (total == 0) {
    return cudaSuccess;
  }
  const int64_t wanted = (total + kThreads - 1) / kThreads;
  const dim3 grid(static_cast<unsigned>(wanted < kMaxBlocks ? wanted : kMaxBlocks));
  const Upfirdn2dAxis &v = p.vertical, &h = p.horizontal;
  const bool square = v.up == h.up && v.down == h.down && v.taps == h.taps && h.taps == 4;
  if (square && h.up == 2 && h.down == 1) {
    upfirdn2d_kernel<T, kChannelsLast, 2, 1, 4><<<grid, kThreads, 0, stream>>>(p);
  } else if (square && h.up == 1 && h.down == 2) {
    upfirdn2d_kernel<T, kChannelsLast, 1, 2, 4><<<grid, kThreads, 0, stream>>>(p);
  } else if (square && h.up == 1 && h.down == 1) {
    upfirdn2d_kernel<T, kChannelsLast, 1, 1, 4><<<grid, kThreads, 0, stream>>>(p);
  } else {
    upfirdn2d_kernel<T, kChannelsLast, 0, 0, 0><<<grid, kThreads, 0, stream>>>(p);
  }
  return cudaGetLastError();
}

template <typename T>
cudaError_t launch_layout(const Upfirdn2dParams& p, cudaStream_t stream) {
  const bool channels_last = p.channels > 1 && p.channel_stride_out == 1;
  return channels_last ? launch<T, true>(p, stream) : launch<T, false>(p, stream);
}

}  // namespace

extern "C" int ganvas_upfirdn2d_cuda(const Upfirdn2dParams* params, int dtype,
                                     cudaStream_t stream) {
  if (static_cast<int64_t>(params->vertical.taps) * params->horizontal.taps > kMaxTaps) {
    return cudaErrorInvalidValue;
  }
  switch (static_cast<DType>(dtype)) {
    case DType::kFloat32:
      return launch_layout<float>(*params, stream);
    case DType::kFloat16:
      return launch_layout<__half>(*params, stream);
    case DType::kBfloat16:
      return launch_layout<__nv_bfloat16>(*params, stream);
  }
  return cudaErrorInvalidValue;
}
