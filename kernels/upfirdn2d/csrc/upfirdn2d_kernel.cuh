// Up-sample, filter and down-sample: each thread sums the taps that fall on samples (polyphase), so
// that zeros are neither stored nor multiplied.
#pragma once

#include "../../common/csrc/dtype.cuh"
#include "upfirdn2d.h"
#include "upfirdn2d_math.cuh"

// Threads a block; the host test runs the same kernel with one.
#ifndef GANVAS_THREADS
#define GANVAS_THREADS 256
#endif

namespace {

constexpr int kThreads = GANVAS_THREADS;
constexpr int kMaxTaps = 1024;  // of a 2-D filter, kept in shared memory

// Row-major over the image in contiguous layout, over the channels in channels_last, so that
// neighbouring threads touch neighbouring elements in either.
struct Place {
  int64_t n, c, row, column;
};

template <bool kChannelsLast>
__device__ Place place(const Upfirdn2dParams& p, int64_t index) {
  Place at;
  if (kChannelsLast) {
    at.c = index % p.channels;
    index /= p.channels;
  }
  at.column = index % p.horizontal.size_out;
  index /= p.horizontal.size_out;
  at.row = index % p.vertical.size_out;
  index /= p.vertical.size_out;
  if (!kChannelsLast) {
    at.c = index % p.channels;
    index /= p.channels;
  }
  at.n = index;
  return at;
}

// kUp, kDown and kTaps are 0 where they are known only at run time.
template <typename T, bool kChannelsLast, int kUp, int kDown, int kTaps>
__global__ void __launch_bounds__(kThreads) upfirdn2d_kernel(const Upfirdn2dParams p) {
  using Acc = typename Element<T>::Acc;
  const int taps_x = kTaps ? kTaps : p.horizontal.taps;
  const int taps_y = kTaps ? kTaps : p.vertical.taps;
  const int up_x = kUp ? kUp : p.horizontal.up;
  const int up_y = kUp ? kUp : p.vertical.up;
  const int down_x = kDown ? kDown : p.horizontal.down;
  const int down_y = kDown ? kDown : p.vertical.down;

  __shared__ float f[kTaps ? kTaps * kTaps : kMaxTaps];
  for (int i = threadIdx.x; i < taps_x * taps_y; i += kThreads) {
    f[i] = p.f[i];
  }
  __syncthreads();

  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  const int64_t total = p.batch * p.channels * p.vertical.size_out * p.horizontal.size_out;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < total;
       i += step) {
    const Place at = place<kChannelsLast>(p, i);
    const Taps vertical = first_tap(at.row, up_y, down_y, p.vertical.before);
    const Taps horizontal = first_tap(at.column, up_x, down_x, p.horizontal.before);
    const T* plane = x + at.n * p.batch_stride_in + at.c * p.channel_stride_in;

    Acc sum = 0;
    int64_t row = vertical.sample;
#pragma unroll
    for (int ty = vertical.tap; ty < taps_y; ty += up_y, ++row) {
      if (row < 0 || row >= p.vertical.size_in) {
        continue;
      }
      const T* line = plane + row * p.vertical.stride_in;
      int64_t column = horizontal.sample;
#pragma unroll
      for (int tx = horizontal.tap; tx < taps_x; tx += up_x, ++column) {
        if (column >= 0 && column < p.horizontal.size_in) {
          sum += static_cast<Acc>(f[ty * taps_x + tx]) *
                 Element<T>::load(line[column * p.horizontal.stride_in]);
        }
      }
    }
    y[at.n * p.batch_stride_out + at.c * p.channel_stride_out + at.row * p.vertical.stride_out +
      at.column * p.horizontal.stride_out] = Element<T>::store(sum);
  }
}

}  // namespace
