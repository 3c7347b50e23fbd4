// What follows a convolution, while its result is in registers: demodulation, noise, bias, leaky
// ReLU, gain, clamp, the next layer's styles; and toRGB from the pixels just written.
#pragma once

#include "convolution.h"
#include "vec.h"

namespace ganvas {

// The epilogue of one vector of channels of one sample.
struct Epilogue {
  vec scale, offset, next, alpha, limit;
  const float* noise;  // [height, width] or null
  float noise_gain;
  bool flat;  // zero below zero, also for minus infinity

  Epilogue(const Convolution& c, int64_t n, int64_t channel)
      : scale(splat(c.gain)),
        offset{},
        next(splat(1)),
        alpha(splat(c.alpha)),
        limit(splat(c.clamp)),
        noise(c.noise ? c.noise + n * c.noise_stride : nullptr),
        noise_gain(c.strength * c.gain),
        flat(c.alpha == 0) {
    // The gain goes first: a leaky ReLU is homogeneous.
    if (c.demodulation) scale *= load(c.demodulation + n * c.demodulation_stride + channel);
    if (c.bias) offset = load(c.bias + channel) * c.gain;
    if (c.next_styles) next = load(c.next_styles + n * c.next_stride + channel);
  }

  vec operator()(vec v, int64_t pixel) const {
    v = v * scale + (noise ? offset + noise[pixel] * noise_gain : offset);
    v = v < 0.0f ? (flat ? vec{} : v * alpha) : v;
    v = v > limit ? limit : v;
    v = v < -limit ? -limit : v;
    return v * next;
  }
};

// Adds toRGB of `count` pixels of a row at `y` to the image, from `pixel` on.
template <int Channels>
inline void to_rgb(const Convolution& c, int64_t n, const float* y, int64_t count, int64_t pixel,
                   int64_t plane, int64_t first) {
  constexpr int PIXELS = 4;
  const int64_t depth = round_up(c.out, VL);
  const float* styles = c.rgb_styles + n * c.rgb_stride;
  for (int64_t start = 0; start < count; start += PIXELS) {
    const int64_t now = count - start < PIXELS ? count - start : PIXELS;
    vec total[PIXELS][Channels] = {};
    const float* at[PIXELS];
    for (int p = 0; p < PIXELS; ++p) at[p] = y + (start + (p < now ? p : 0)) * depth;
    for (int64_t k = 0; k < depth; k += VL) {
      const vec s = load(styles + k);
#pragma GCC unroll 4
      for (int i = 0; i < Channels; ++i) {
        const vec w = load(c.rgb_weight + (first + i) * depth + k) * s;
#pragma GCC unroll 4
        for (int p = 0; p < PIXELS; ++p) total[p][i] += load(at[p] + k) * w;
      }
    }
    for (int i = 0; i < Channels; ++i) {
      float* image = c.image + (n * c.image_channels + first + i) * plane + pixel + start;
      const float bias = c.rgb_bias ? c.rgb_bias[first + i] : 0;
      for (int p = 0; p < now; ++p) {
        float v = sum(total[p][i]) + bias;
        v = v > c.rgb_clamp ? c.rgb_clamp : v;
        image[p] += v < -c.rgb_clamp ? -c.rgb_clamp : v;
      }
    }
  }
}

inline void to_rgb(const Convolution& c, int64_t n, const float* y, int64_t count, int64_t pixel,
                   int64_t plane) {
  int64_t first = 0;
  for (; first + 3 <= c.image_channels; first += 3) to_rgb<3>(c, n, y, count, pixel, plane, first);
  for (; first < c.image_channels; ++first) to_rgb<1>(c, n, y, count, pixel, plane, first);
}

}  // namespace ganvas
