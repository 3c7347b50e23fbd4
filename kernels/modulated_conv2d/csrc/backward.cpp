// Elementwise parts of the backward pass of a modulated convolution, with their sums over pixels.
//
// Images are dense channels-last float32 [N, pixels, C]. Each sample's pixels are cut into chunks;
// a chunk's sums go to a row of its own, which the caller adds, so that the result does not depend
// on the number of threads.
#include <cstdint>
#include <cstring>

#include "../../cpu_convolution/csrc/vec.h"

namespace {

using namespace ganvas;

// Lanes that are there; a whole vector needs no copy.
inline vec load_some(const float* p, int lanes) {
  if (lanes == VL) return load(p);
  float padded[VL] = {};
  std::memcpy(padded, p, lanes * sizeof(float));
  return load(padded);
}

inline void store_some(float* p, vec v, int lanes) {
  if (lanes == VL) return store(p, v);
  float padded[VL];
  store(padded, v);
  std::memcpy(p, padded, lanes * sizeof(float));
}

}  // namespace

extern "C" {

struct EpilogueBackward {
  const float *dy, *y;
  const float* d;      // [N, C] or null
  const float* noise;  // [N or 1, pixels] or null
  const float* bias;   // [C] or null
  float* du;           // [N, pixels, C]
  float* parts;        // [3, N, chunks, C]: dz, dz * u, dz * noise
  float* pixel_sums;   // [N, pixels] or null
  int64_t n, pixels, channels, noise_stride, chunk, chunks, threads;
  float strength, gain, alpha, clamp;  // clamp below 0 is none
};

void ganvas_epilogue_backward(const EpilogueBackward* arguments) {
  const EpilogueBackward& a = *arguments;
  const int64_t part = a.n * a.chunks * a.channels;
  const bool bounded = a.clamp >= 0;
#pragma omp parallel for num_threads(a.threads) schedule(static)
  for (int64_t job = 0; job < a.n * a.chunks; ++job) {
    const int64_t n = job / a.chunks, first = job % a.chunks * a.chunk;
    const int64_t last = first + a.chunk < a.pixels ? first + a.chunk : a.pixels;
    const float* noise = a.noise ? a.noise + n * a.noise_stride : nullptr;
    float* pixel_sums = a.pixel_sums ? a.pixel_sums + n * a.pixels : nullptr;
    if (pixel_sums)
      for (int64_t p = first; p < last; ++p) pixel_sums[p] = 0;
    for (int64_t c = 0; c < a.channels; c += VL) {
      const int lanes = a.channels - c < VL ? static_cast<int>(a.channels - c) : VL;
      const vec scale = a.d ? load_some(a.d + n * a.channels + c, lanes) : splat(1);
      const vec offset = a.bias ? load_some(a.bias + c, lanes) : vec{};
      const vec gain = splat(a.gain), low = splat(a.gain * a.alpha), limit = splat(a.clamp);
      vec sums{}, products{}, weighted{};
      for (int64_t p = first; p < last; ++p) {
        const int64_t at = (n * a.pixels + p) * a.channels + c;
        const vec dy = load_some(a.dy + at, lanes), y = load_some(a.y + at, lanes);
        vec within = splat(1);
        if (bounded) within = (y < limit) & (y > -limit) ? within : vec{};
        const vec dz = dy * (y > 0.0f ? gain : low) * within;
        const float here = noise ? noise[p] : 0;
        sums += dz;
        weighted += dz * here;
        products += dy * y * within - dz * (offset + a.strength * here);
        if (pixel_sums) pixel_sums[p] += sum(dz);
        store_some(a.du + at, dz * scale, lanes);
      }
      float* row = a.parts + job * a.channels + c;
      store_some(row, sums, lanes);
      store_some(row + part, products, lanes);
      store_some(row + 2 * part, weighted, lanes);
    }
  }
}

// dx = dxs * styles; parts [N, chunks, C] are sums of dxs * x.
void ganvas_styles_backward(const float* dxs, const float* x, const float* styles, float* dx,
                            float* parts, int64_t n, int64_t pixels, int64_t channels,
                            int64_t chunk, int64_t chunks, int64_t threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t job = 0; job < n * chunks; ++job) {
    const int64_t sample = job / chunks, first = job % chunks * chunk;
    const int64_t last = first + chunk < pixels ? first + chunk : pixels;
    for (int64_t c = 0; c < channels; c += VL) {
      const int lanes = channels - c < VL ? static_cast<int>(channels - c) : VL;
      const vec s = load_some(styles + sample * channels + c, lanes);
      vec sums{};
      for (int64_t p = first; p < last; ++p) {
        const int64_t at = (sample * pixels + p) * channels + c;
        const vec d = load_some(dxs + at, lanes);
        sums += d * load_some(x + at, lanes);
        store_some(dx + at, d * s, lanes);
      }
      store_some(parts + job * channels + c, sums, lanes);
    }
  }
}

}  // extern "C"
