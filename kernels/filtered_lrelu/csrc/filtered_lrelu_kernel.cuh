// filtered_lrelu and its derivatives for one tile of one channel in shared memory.
//
// Along a row, neighbouring lanes hold neighbouring rows, whose distance is odd: so they meet in no
// bank, and each lane keeps the samples that its outputs share in registers. Down the columns
// neighbouring lanes hold neighbouring columns.
#pragma once

#include "../../common/csrc/dtype.cuh"
#include "filtered_lrelu.h"
#include "filtered_lrelu_math.h"

namespace ganvas {
namespace flrelu {

#ifdef GANVAS_ON_HOST
constexpr int kThreads = 1;  // the host test runs a block as one thread
#else
constexpr int kThreads = 256;
#endif
constexpr int kPhase = 6;  // taps a phase of every StyleGAN3 filter
constexpr int kRun = 4;    // outputs that a lane sums together

// One axis of an up-sampled image under a tile.
struct Span {
  int first;    // input sample
  int samples;  // of the input
  int groups;   // of `up` up-sampled samples each
  int skip;     // up-sampled samples before the tile's first
};

GANVAS_BOTH inline Span span_of(int position, int count, int pad, int up, int taps) {
  Span span;
  span.first = first_sample(position, pad, up);
  span.skip = position - (pad + (span.first - 1) * up + 1);
  span.groups = (count + up - 1 + up - 1) / up;  // enough for any skip
  span.samples = span.groups + (taps + up - 1) / up - 1;
  return span;
}

// Distance between rows in shared memory.
GANVAS_BOTH inline int pitch(int width) { return width | 1; }

// Where the parts of shared memory begin, in floats.
struct Layout {
  int input;    // image samples, then sums along the rows of the wide image
  int columns;  // filtered down the columns
  int wide;     // the up-sampled image
  int guide;    // the same of the guide
  int total;
};

GANVAS_BOTH inline int wide_count(int tile, int down, int taps) { return (tile - 1) * down + taps; }

GANVAS_BOTH inline int at_least(int a, int b) { return a > b ? a : b; }

GANVAS_BOTH inline void reserve(const GanvasUpsampled& from, int height, int width, int& input,
                                int& columns, int& wide) {
  const Span y = span_of(0, height, 0, from.up, from.taps_y);
  const Span x = span_of(0, width, 0, from.up, from.taps_x);
  input = at_least(input, y.samples * pitch(x.samples));
  columns = at_least(columns, y.groups * from.up * pitch(x.samples));
  wide = at_least(wide, y.groups * from.up * pitch(x.groups * from.up));
}

GANVAS_BOTH inline Layout layout_of(const GanvasFilteredLrelu& call, int tile) {
  const int height = wide_count(tile, call.down, call.taps_y);
  const int width = wide_count(tile, call.down, call.taps_x);
  int input = height * pitch(tile), columns = 0, wide = 0, guide = 0;
  reserve(call.main, height, width, input, columns, wide);
  if (call.guide.image != nullptr) reserve(call.guide, height, width, input, columns, guide);
  return {0, input, input + columns, input + columns + wide, input + columns + wide + guide};
}

#if defined(__CUDACC__) || defined(GANVAS_ON_HOST)

// Reads the samples under the tile, with the bias; zeros lie beyond the image.
template <typename T>
__device__ void load_samples(float* to, const GanvasUpsampled& from, int64_t sample,
                             int64_t channel, const Span& y, const Span& x) {
  const T* plane =
      static_cast<const T*>(from.image) + sample * from.strides[0] + channel * from.strides[1];
  const float bias = from.bias == nullptr ? 0.0f : from.bias[channel];
  for (int i = threadIdx.x; i < y.samples * x.samples; i += kThreads) {
    const int row = i / x.samples, column = i - row * x.samples;
    const int iy = y.first + row, ix = x.first + column;
    float value = 0.0f;
    if (iy >= 0 && iy < from.height && ix >= 0 && ix < from.width) {
      value = Element<T>::load(plane[iy * from.strides[2] + ix * from.strides[3]]) + bias;
    }
    to[row * pitch(x.samples) + column] = value;
  }
}

// out[g u + j] = scale * sum_m taps[u-1-j + u m] in[g + m] for two groups g; `step` lies between
// samples, `out_step` between outputs. kUp = 0 takes any numbers.
template <int kUp>
__device__ void up_pair(float* out, int out_step, const float* in, int step, int groups, int up,
                        const float* taps, int t, float scale) {
  if constexpr (kUp > 0) {
    float s[kPhase + 1];
#pragma unroll
    for (int m = 0; m <= kPhase; ++m) s[m] = m < kPhase || groups > 1 ? in[m * step] : 0.0f;
#pragma unroll
    for (int j = 0; j < kUp; ++j) {
      float a = 0.0f, b = 0.0f;
#pragma unroll
      for (int m = 0; m < kPhase; ++m) {
        const float tap = taps[kUp - 1 - j + kUp * m];
        a += tap * s[m];
        b += tap * s[m + 1];
      }
      out[j * out_step] = a * scale;
      if (groups > 1) out[(kUp + j) * out_step] = b * scale;
    }
  } else {
    for (int g = 0; g < groups; ++g) {
      for (int j = 0; j < up; ++j) {
        float sum = 0.0f;
        const int count = phase_count(t, up - 1 - j, up);
        for (int m = 0; m < count; ++m) sum += taps[up - 1 - j + up * m] * in[(g + m) * step];
        out[(g * up + j) * out_step] = sum * scale;
      }
    }
  }
}

// The wide image of a separable filter: down the columns, then along the rows.
template <int kUp>
__device__ void up_separable(float* wide, float* columns, const float* input,
                             const GanvasUpsampled& from, const Span& y, const Span& x) {
  const int up = kUp > 0 ? kUp : from.up;
  const int from_pitch = pitch(x.samples), wide_pitch = pitch(x.groups * up);
  const int pairs_y = (y.groups + 1) / 2, pairs_x = (x.groups + 1) / 2;
  for (int i = threadIdx.x; i < pairs_y * x.samples; i += kThreads) {
    const int g = i / x.samples * 2, column = i % x.samples;
    up_pair<kUp>(columns + g * up * from_pitch + column, from_pitch,
                 input + g * from_pitch + column, from_pitch, min(2, y.groups - g), up, from.taps,
                 from.taps_y, from.scale);
  }
  __syncthreads();
  const int rows = y.groups * up;
  for (int i = threadIdx.x; i < pairs_x * rows; i += kThreads) {
    const int g = i / rows * 2, row = i % rows;
    up_pair<kUp>(wide + row * wide_pitch + g * up, 1, columns + row * from_pitch + g, 1,
                 min(2, x.groups - g), up, from.taps, from.taps_x, 1.0f);
  }
}

// The wide image of a filter of two axes.
__device__ inline void up_square(float* wide, const float* input, const GanvasUpsampled& from,
                                 const Span& y, const Span& x) {
  const int up = from.up, from_pitch = pitch(x.samples), wide_pitch = pitch(x.groups * up);
  const int rows = y.groups * up, columns = x.groups * up;
  for (int i = threadIdx.x; i < rows * columns; i += kThreads) {
    const int row = i % rows, column = i / rows;
    const int first_y = up - 1 - row % up, first_x = up - 1 - column % up;
    const int count_y = phase_count(from.taps_y, first_y, up);
    const int count_x = phase_count(from.taps_x, first_x, up);
    float sum = 0.0f;
    for (int m = 0; m < count_y; ++m) {
      const float* taps = from.taps + (first_y + up * m) * from.taps_x + first_x;
      const float* samples = input + (row / up + m) * from_pitch + column / up;
      for (int n = 0; n < count_x; ++n) sum += taps[up * n] * samples[n];
    }
    wide[row * wide_pitch + column] = sum * from.scale;
  }
}

template <typename T>
__device__ void upsample(float* wide, float* columns, float* input, const GanvasUpsampled& from,
                         int64_t sample, int64_t channel, const Span& y, const Span& x) {
  load_samples<T>(input, from, sample, channel, y, x);
  __syncthreads();
  const bool fast = from.taps_y == kPhase * from.up;
  if (from.square) {
    up_square(wide, input, from, y, x);
  } else if (fast && from.up == 2) {
    up_separable<2>(wide, columns, input, from, y, x);
  } else if (fast && from.up == 4) {
    up_separable<4>(wide, columns, input, from, y, x);
  } else {
    up_separable<0>(wide, columns, input, from, y, x);
  }
  __syncthreads();
}

// out[i] = sum_k taps[k] in[(i d + k) step] for kRun outputs. kDown = 0 takes any numbers.
template <int kDown>
__device__ void down_run(float (&out)[kRun], const float* in, int step, int count, int down,
                         const float* taps, int t) {
#pragma unroll
  for (int i = 0; i < kRun; ++i) out[i] = 0.0f;
  if constexpr (kDown > 0) {
    constexpr int kTaps = kPhase * kDown;
#pragma unroll
    for (int s = 0; s < (kRun - 1) * kDown + kTaps; ++s) {
      const float value = s < (count - 1) * kDown + kTaps ? in[s * step] : 0.0f;
#pragma unroll
      for (int i = 0; i < kRun; ++i) {
        if (s >= i * kDown && s < i * kDown + kTaps) out[i] += taps[s - i * kDown] * value;
      }
    }
  } else {
#pragma unroll
    for (int i = 0; i < kRun; ++i) {
      if (i >= count) break;
      for (int k = 0; k < t; ++k) out[i] += taps[k] * in[(i * down + k) * step];
    }
  }
}

// One tile's part of a call, for whichever thread.
template <typename T>
struct Target {
  T* plane;
  int64_t step_y, step_x;
  int height, width;  // of the tile, cut at the result's border

  __device__ void put(int y, int x, float value) const {
    plane[y * step_y + x * step_x] = Element<T>::store(value);
  }
};

template <typename T, int kDown>
__device__ void down_separable(const Target<T>& to, float* sums, const float* wide, int wide_pitch,
                               int tile, const GanvasFilteredLrelu& call) {
  const int down = kDown > 0 ? kDown : call.down;
  const int rows = wide_count(to.height, down, call.taps_y);
  const int runs_x = (to.width + kRun - 1) / kRun, runs_y = (to.height + kRun - 1) / kRun;
  float out[kRun];
  for (int i = threadIdx.x; i < runs_x * rows; i += kThreads) {
    const int x = i / rows * kRun, row = i % rows;
    const int count = min(kRun, to.width - x);
    down_run<kDown>(out, wide + row * wide_pitch + x * down, 1, count, down, call.taps,
                    call.taps_x);
#pragma unroll
    for (int n = 0; n < kRun; ++n) {
      if (n < count) sums[row * pitch(tile) + x + n] = out[n] * call.scale;
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < runs_y * to.width; i += kThreads) {
    const int y = i / to.width * kRun, x = i % to.width;
    const int count = min(kRun, to.height - y);
    down_run<kDown>(out, sums + y * down * pitch(tile) + x, pitch(tile), count, down, call.taps,
                    call.taps_y);
#pragma unroll
    for (int n = 0; n < kRun; ++n) {
      if (n < count) to.put(y + n, x, out[n]);
    }
  }
}

template <typename T, int kDown>
__device__ void down_square(const Target<T>& to, const float* wide, int wide_pitch,
                            const GanvasFilteredLrelu& call) {
  const int down = kDown > 0 ? kDown : call.down;
  const int runs_x = (to.width + kRun - 1) / kRun;
  for (int i = threadIdx.x; i < runs_x * to.height; i += kThreads) {
    const int x = i / to.height * kRun, y = i % to.height;
    const int count = min(kRun, to.width - x);
    float sum[kRun] = {}, out[kRun];
    for (int k = 0; k < call.taps_y; ++k) {
      down_run<kDown>(out, wide + (y * down + k) * wide_pitch + x * down, 1, count, down,
                      call.taps + k * call.taps_x, call.taps_x);
#pragma unroll
      for (int n = 0; n < kRun; ++n) sum[n] += out[n];
    }
#pragma unroll
    for (int n = 0; n < kRun; ++n) {
      if (n < count) to.put(y, x + n, sum[n] * call.scale);
    }
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    filtered_lrelu_kernel(const GanvasFilteredLrelu call, const Layout layout, int tile) {
  extern __shared__ float shared[];
  const int tiles_x = (call.width + tile - 1) / tile, tiles_y = (call.height + tile - 1) / tile;
  const int64_t tiles = call.batch * call.channels * tiles_y * tiles_x;
  for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
    const int64_t plane = index / (tiles_y * tiles_x);
    const int at = static_cast<int>(index - plane * (tiles_y * tiles_x));
    const int64_t sample = plane / call.channels, channel = plane - sample * call.channels;
    const int y0 = at / tiles_x * tile, x0 = at % tiles_x * tile;
    const int rows = min(tile, call.height - y0), columns = min(tile, call.width - x0);
    const int wide_y = y0 * call.down + call.offset_y, wide_x = x0 * call.down + call.offset_x;
    const int height = wide_count(rows, call.down, call.taps_y);
    const int width = wide_count(columns, call.down, call.taps_x);
    const Span y = span_of(wide_y, height, call.main.pad_y, call.main.up, call.main.taps_y);
    const Span x = span_of(wide_x, width, call.main.pad_x, call.main.up, call.main.taps_x);
    float *input = shared + layout.input, *between = shared + layout.columns;
    float *wide = shared + layout.wide, *guide = shared + layout.guide;
    upsample<T>(wide, between, input, call.main, sample, channel, y, x);
    const int wide_pitch = pitch(x.groups * call.main.up);
    wide += y.skip * wide_pitch + x.skip;
    int guide_pitch = 0;
    const bool guided = call.guide.image != nullptr;
    if (guided) {
      const GanvasUpsampled& from = call.guide;
      const Span gy = span_of(wide_y, height, from.pad_y, from.up, from.taps_y);
      const Span gx = span_of(wide_x, width, from.pad_x, from.up, from.taps_x);
      upsample<T>(guide, between, input, from, sample, channel, gy, gx);
      guide_pitch = pitch(gx.groups * from.up);
      guide += gy.skip * guide_pitch + gx.skip;
    }
    for (int i = threadIdx.x; i < height * width; i += kThreads) {
      const int row = i / width, column = i - row * width;
      float& value = wide[row * wide_pitch + column];
      const bool inside = wide_y + row >= 0 && wide_y + row < call.wide_height &&
                          wide_x + column >= 0 && wide_x + column < call.wide_width;
      if (!inside) {
        value = 0.0f;
      } else if (guided) {
        value *= rectify_slope(guide[row * guide_pitch + column], call.slope, call.clamp, 1.0f);
      } else {
        value = rectify(value, call.slope, call.clamp);
      }
    }
    __syncthreads();
    const Target<T> to = {static_cast<T*>(call.result) + sample * call.strides[0] +
                              channel * call.strides[1] + y0 * call.strides[2] +
                              x0 * call.strides[3],
                          call.strides[2], call.strides[3], rows, columns};
    const bool fast = call.taps_y == kPhase * call.down && call.taps_x == kPhase * call.down;
    if (call.square && fast && call.down == 2) {
      down_square<T, 2>(to, wide, wide_pitch, call);
    } else if (call.square) {
      down_square<T, 0>(to, wide, wide_pitch, call);
    } else if (fast && call.down == 2) {
      down_separable<T, 2>(to, input, wide, wide_pitch, tile, call);
    } else if (fast && call.down == 4) {
      down_separable<T, 4>(to, input, wide, wide_pitch, tile, call);
    } else {
      down_separable<T, 0>(to, input, wide, wide_pitch, tile, call);
    }
    __syncthreads();
  }
}

#endif

}  // namespace flrelu
}  // namespace ganvas
