// Arguments of a convolution with everything around it; mirrored by ctypes in compiled.py.
#pragma once

#include <cstdint>

namespace ganvas {

enum Form : int64_t {
  POINTWISE,
  DIRECT,
  WINOGRAD2,
  WINOGRAD4,
  UP_DIRECT,
  UP_WINOGRAD3,
  DOWN_DIRECT,
  DOWN_WINOGRAD4,
  FORMS
};

// Images are [n, height, width, channels], with channels rounded up to whole vectors; what lies
// beyond the true channels is never used, but for bias, demodulation, styles and toRGB's weights,
// which must be zero there.
struct Convolution {
  const float* x;
  const float* weight;        // from ganvas_pack_weight
  const float* styles;        // [n, channels_in] or null
  const float* demodulation;  // [n, channels_out] or null
  const float* noise;         // [n or 1, height, width] of the result, or null
  const float* bias;          // [channels_out] or null
  const float* next_styles;   // [n, channels_out], multiplied onto y, or null
  const float* rgb_weight;    // [image_channels, channels_out], or null for no toRGB
  const float* rgb_styles;    // [n, channels_out]
  const float* rgb_bias;      // [image_channels]
  float* y;                   // null where only the image is wanted
  float* image;               // [n, image_channels, height, width]; toRGB is added to it
  float* workspace;           // ganvas_convolution_workspace floats
  int64_t n, height, width, in, out, image_channels;  // height and width of x, true channels
  int64_t x_stride, noise_stride, styles_stride, demodulation_stride, next_stride, rgb_stride;
  int64_t form;
  int64_t shared;  // 1: all threads share one block of tiles; 0: each has its own
  int64_t tiles;   // tiles in a block
  int64_t threads;
  int64_t filtered;  // 1: the FIR filter follows an up-sampling form; 0: its raw result stays
  float strength, gain, alpha, clamp, rgb_clamp;
  float fir_y[4], fir_x[4];  // of the up-sampling forms, as correlated, with their gains
};

}  // namespace ganvas
