// The contract between upfirdn2d's Python side and its CUDA kernels.
#pragma once

#include <cuda_runtime_api.h>
#include <stdint.h>

struct Upfirdn2dAxis {
  int64_t size_in;     // samples of x
  int64_t size_out;    // samples of y
  int64_t stride_in;   // elements between samples of x
  int64_t stride_out;  // elements between samples of y
  int32_t up;          // each sample is followed by up - 1 zeros
  int32_t down;        // every down-th filtered sample stays
  int32_t before;      // zeros before the first sample; negative crops
  int32_t taps;
};

struct Upfirdn2dParams {
  const void* x;   // [N, C, H, W] in any strides
  void* y;         // [N, C, H', W'] in any strides
  const float* f;  // [taps_y, taps_x], contiguous: what x is correlated with, gain included
  int64_t batch;
  int64_t channels;
  int64_t batch_stride_in, batch_stride_out;
  int64_t channel_stride_in, channel_stride_out;
  Upfirdn2dAxis vertical, horizontal;
};

// Runs on `stream`; `dtype` is a DType. Returns the cudaError_t of the launch.
extern "C" int ganvas_upfirdn2d_cuda(const Upfirdn2dParams* params, int dtype, cudaStream_t stream);
