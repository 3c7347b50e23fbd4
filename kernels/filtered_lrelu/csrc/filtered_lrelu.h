// Contract of the compiled passes for CPUs and GPUs, filled in by packing.py field by field.
#pragma once

#include <cstdint>

extern "C" {

// An image and the filter that follows its up-sampling, as a correlation:
// mid[Y] = sum_i image[i] taps[i up + pad - Y] along either axis.
struct GanvasUpsampled {
  const void* image;   // null: there is none
  const float* bias;   // [C] or null, added to the image
  const float* taps;   // [taps_x] for both axes, or [taps_y, taps_x] if square
  int64_t strides[4];  // of the image, in elements: N, C, H, W
  int32_t height, width;
  int32_t up;
  int32_t pad_y, pad_x;
  int32_t square;
  int32_t taps_y, taps_x;
  float scale;  // of the taps
};

// result[j] = sum_k taps[k] wide[j down + k + offset], wide being zero outside its size.
// Without a guide wide = rectify(main), else wide = main * slope of rectify at guide.
struct GanvasFilteredLrelu {
  GanvasUpsampled main, guide;
  const float* taps;
  void* result;
  int64_t strides[4];
  int64_t batch, channels;
  int32_t height, width;
  int32_t wide_height, wide_width;
  int32_t down;
  int32_t offset_y, offset_x;
  int32_t square;
  int32_t taps_y, taps_x;
  float scale;
  float slope;
  float clamp;      // infinity: none
  int32_t threads;  // of the CPU
};

// Of float32 images. 0, or 1 if memory for the threads' tiles could not be had.
int ganvas_filtered_lrelu_cpu(const GanvasFilteredLrelu* call);
}
