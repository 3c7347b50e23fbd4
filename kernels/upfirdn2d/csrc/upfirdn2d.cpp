// upfirdn2d on CPUs for separable filters, and so its gradient too: each output row is filtered
// vertically into a buffer in the cache, then horizontally from there. A 2-D filter must be of rank
// 1; it is separated here.
//
// An image is rows of columns of `step` neighbouring floats: channels in channels_last, else 1.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "../../common/csrc/vector.h"

namespace {

using namespace ganvas_vector;

constexpr int64_t kTile = 4096;       // floats of a filtered row that a thread works on
constexpr int64_t kRows = 16;         // rows it does one after another, which share their inputs
constexpr int64_t kParallel = 16384;  // floats from which on work is shared

// One axis: output o is the sum over k < count[phase] of weights[phase][k] x[first + k].
struct Axis {
  int64_t in, out;
  int up, down;
  std::vector<int64_t> first;  // [out]; may lie outside x
  std::vector<int> phase;      // [out]
  std::vector<int> count;      // [up]

  Axis(int64_t in, int64_t out, int up, int down, int64_t before, int taps)
      : in(in), out(out), up(up), down(down), first(out), phase(out), count(up) {
    for (int64_t o = 0; o < out; ++o) {
      const int64_t position = o * down - before;
      first[o] = position >= 0 ? (position + up - 1) / up : -(-position / up);
      phase[o] = static_cast<int>(first[o] * up - position);
    }
    for (int p = 0; p < up; ++p) count[p] = p < taps ? (taps - p + up - 1) / up : 0;
  }
};

// Taps of one axis by phase: those that meet samples and not the zeros between them.
struct Weights {
  int stride;
  std::vector<float> values;

  Weights(const double* taps, int count, int up) : stride((count + up - 1) / up) {
    values.assign(static_cast<size_t>(stride) * up, 0.0f);
    for (int t = 0; t < count; ++t)
      values[(t % up) * stride + t / up] = static_cast<float>(taps[t]);
  }
  const float* of(int phase) const { return values.data() + phase * stride; }
};

// out[i] = sum of weights[k] * rows[k][i]; K is the number of rows where it is known.
template <int K, bool kStream, typename From, typename To>
inline void combine(To* out, const From* const* rows, const float* weights, int count,
                    int64_t length) {
  packs(length, [&](int64_t i, auto pack) {
    using Pack = decltype(pack);
    Pack total = load<Pack>(rows[0] + i) * weights[0];
    for (int k = 1; k < (K ? K : count); ++k) total += load<Pack>(rows[k] + i) * weights[k];
    write<kStream>(out + i, total);
  });
}

template <bool kStream = false, typename From, typename To>
inline void combine(To* out, const From* const* rows, const float* weights, int count,
                    int64_t length) {
  switch (count) {
    case 0:
      return packs(length, [&](int64_t i, auto pack) { store(out + i, pack); });
    case 1:
      return combine<1, kStream>(out, rows, weights, 1, length);
    case 2:
      return combine<2, kStream>(out, rows, weights, 2, length);
    case 3:
      return combine<3, kStream>(out, rows, weights, 3, length);
    case 4:
      return combine<4, kStream>(out, rows, weights, 4, length);
    default:
      return combine<0, kStream>(out, rows, weights, count, length);
  }
}

// Copies `number` columns, every `to`-th of `out` from every `from`-th of `in`.
template <typename To>
inline void copy_columns(To* out, int64_t to, const float* in, int64_t from, int64_t number,
                         int64_t step) {
  if (step == 1 && to == 2 && from == 1) {
    for (int64_t i = 0; i < number; ++i) store(out + i * 2, in[i]);
  } else if (step == 1 && to == 1 && from == 2) {
    for (int64_t i = 0; i < number; ++i) store(out + i, in[i * 2]);
  } else {
    for (int64_t i = 0; i < number; ++i)
      for (int64_t c = 0; c < step; ++c) store(out + i * to * step + c, in[i * from * step + c]);
  }
}

struct Workspace {
  std::vector<float> row, phases;
  std::vector<const float*> pointers;
};

// Filters columns [begin, end) of an output row from `row`, whose column 0 is x's column `origin`.
template <bool kStream, typename To>
void filter_row(To* out, const float* row, int64_t origin, int64_t begin, int64_t end,
                const Axis& axis, const Weights& weights, int64_t step, Workspace& space) {
  const int64_t columns = end - begin;
  space.pointers.resize(weights.stride);
  const float** taps = space.pointers.data();
  const bool plain = axis.up == 1 && axis.down == 1;
  const bool wide = (step >= kLanes && !plain) || (axis.up > 1 && axis.down > 1);
  if (wide) {
    for (int64_t o = begin; o < end; ++o) {
      const int phase = axis.phase[o], count = axis.count[phase];
      for (int k = 0; k < count; ++k) taps[k] = row + (axis.first[o] - origin + k) * step;
      combine<kStream>(out + (o - begin) * step, taps, weights.of(phase), count, step);
    }
  } else if (axis.up == 1) {
    // Every down-th column from column r on is put side by side, so that vectors span columns.
    const int down = axis.down, count = axis.count[0];
    const float* base = row + (axis.first[begin] - origin) * step;
    const int64_t length = (columns + (count + down - 1) / down) * step;
    if (down == 1) {
      for (int k = 0; k < count; ++k) taps[k] = base + k * step;
    } else {
      space.phases.resize(length * down);
      const int64_t last = (columns - 1) * down + count;  // columns that exist
      for (int r = 0; r < std::min<int64_t>(down, last); ++r) {
        const int64_t number = (last - r + down - 1) / down;
        copy_columns(space.phases.data() + r * length, 1, base + r * step, down, number, step);
      }
      for (int k = 0; k < count; ++k)
        taps[k] = space.phases.data() + (k % down) * length + k / down * step;
    }
    combine<kStream>(out, taps, weights.of(0), count, columns * step);
  } else {
    // All columns of one phase at a time, which see neighbouring samples.
    const int up = axis.up;
    space.phases.resize(columns * step);
    for (int q = 0; q < std::min<int64_t>(up, columns); ++q) {
      const int phase = axis.phase[begin + q], count = axis.count[phase];
      const int64_t number = (columns - q + up - 1) / up;
      for (int k = 0; k < count; ++k) taps[k] = row + (axis.first[begin + q] - origin + k) * step;
      float* side = space.phases.data();
      combine(side, taps, weights.of(phase), count, number * step);
      copy_columns(out + q * step, up, side, 1, number, step);
    }
  }
}

struct Filter {
  Weights vertical, horizontal;
};

template <bool kStream, typename T>
void filter_tile(T* y, const T* x, int64_t step, const Axis& rows, const Axis& columns,
                 const Filter& filter, int64_t row_begin, int64_t row_end, int64_t begin,
                 int64_t end, Workspace& space) {
  // Columns of x under the filter; those outside x are zeros in the buffer.
  int64_t origin = columns.first[begin], limit = origin;
  for (int64_t o = begin; o < end; ++o)
    limit = std::max(limit, columns.first[o] + columns.count[columns.phase[o]]);
  const int64_t left = std::min(std::max<int64_t>(origin, 0), limit);
  const int64_t right = std::max(std::min(limit, columns.in), left);
  space.row.assign((limit - origin) * step + kLanes, 0.0f);
  const uintptr_t address = reinterpret_cast<uintptr_t>(space.row.data());
  float* buffer = space.row.data() + (sizeof(vec) - address % sizeof(vec)) / sizeof(float);
  float* inside = buffer + (left - origin) * step;
  const int64_t length = (right - left) * step;

  std::vector<const T*> sources(filter.vertical.stride);
  std::vector<float> taps(filter.vertical.stride);
  for (int64_t o = row_begin; o < row_end; ++o) {
    T* out = y + (o * columns.out + begin) * step;
    const int phase = rows.phase[o];
    int used = 0;
    for (int k = 0; k < rows.count[phase]; ++k) {
      const int64_t i = rows.first[o] + k;
      if (i < 0 || i >= rows.in) continue;
      sources[used] = x + (i * columns.in + left) * step;
      taps[used++] = filter.vertical.of(phase)[k];
    }
    combine(inside, sources.data(), taps.data(), used, length);
    filter_row<kStream>(out, buffer, origin, begin, end, columns, filter.horizontal, step, space);
  }
}

template <typename T>
void filter_images(T* y, const T* x, int64_t planes, int64_t step, const Axis& rows,
                   const Axis& columns, const Filter& filter, int threads) {
  const int64_t widest = std::max<int64_t>(1, kTile * columns.up / (step * columns.down));
  const int64_t across = (columns.out + widest - 1) / widest;
  const int64_t width = (columns.out + across - 1) / across;
  const int64_t along = (rows.out + kRows - 1) / kRows;
  const bool parallel = planes * rows.out * columns.out * step >= kParallel;
  const bool stream = streams(y, planes * rows.out * columns.out * step, step);
#pragma omp parallel num_threads(threads) if (parallel)
  {
    Workspace space;
#pragma omp for schedule(static)
    for (int64_t tile = 0; tile < planes * along * across; ++tile) {
      const int64_t plane = tile / (along * across);
      const int64_t row = tile / across % along * kRows, column = tile % across * width;
      const auto run = stream ? filter_tile<true, T> : filter_tile<false, T>;
      run(y + plane * rows.out * columns.out * step, x + plane * rows.in * columns.in * step, step,
          rows, columns, filter, row, std::min(row + kRows, rows.out), column,
          std::min(column + width, columns.out), space);
    }
    if (stream) finish_writes();
  }
}

// Splits f [height, width] into column[i] * row[j], and tells whether that is f, to the rounding of
// an outer product in float32.
bool separate(const float* f, int height, int width, double* column, double* row) {
  constexpr double kTolerance = 4e-7;
  int pivot = 0;
  for (int i = 1; i < height * width; ++i)
    if (std::fabs(f[i]) > std::fabs(f[pivot])) pivot = i;
  const double largest = f[pivot];
  if (!std::isfinite(largest)) return false;
  for (int i = 0; i < height; ++i) column[i] = f[i * width + pivot % width];
  for (int j = 0; j < width; ++j)
    row[j] = largest == 0 ? 0 : f[pivot / width * width + j] / largest;
  for (int i = 0; i < height; ++i)
    for (int j = 0; j < width; ++j)
      if (!(std::fabs(f[i * width + j] - column[i] * row[j]) <= kTolerance * std::fabs(largest)))
        return false;
  return true;
}

}  // namespace

// Whether f [height, width] is of rank 1.
extern "C" int ganvas_upfirdn2d_separable(const float* f, int height, int width) {
  std::vector<double> column(height), row(width);
  return separate(f, height, width, column.data(), row.data());
}

// x is [planes, in_y, in_x, step] and y [planes, out_y, out_x, step], both dense; f is [taps_y,
// taps_x] of rank 1 where `square`, else [taps_x] for both axes.
extern "C" void ganvas_upfirdn2d_cpu(void* y, const void* x, const float* f, int64_t planes,
                                     int64_t step, int64_t in_y, int64_t in_x, int64_t out_y,
                                     int64_t out_x, int taps_y, int taps_x, int up_y, int up_x,
                                     int down_y, int down_x, int64_t before_y, int64_t before_x,
                                     double gain, int square, int flip, int is_bfloat16,
                                     int threads) {
  const Axis rows(in_y, out_y, up_y, down_y, before_y, taps_y);
  const Axis columns(in_x, out_x, up_x, down_x, before_x, taps_x);
  std::vector<double> column(taps_y), row(taps_x);
  if (square) {
    separate(f, taps_y, taps_x, column.data(), row.data());
  } else {
    std::copy(f, f + taps_y, column.begin());
    std::copy(f, f + taps_x, row.begin());
  }
  if (!flip) {  // x is correlated with the taps: a convolution has them reversed
    std::reverse(column.begin(), column.end());
    std::reverse(row.begin(), row.end());
  }
  for (double& tap : column) tap *= gain;
  const Filter filter{Weights(column.data(), taps_y, up_y), Weights(row.data(), taps_x, up_x)};
  if (is_bfloat16)
    filter_images(static_cast<bfloat16*>(y), static_cast<const bfloat16*>(x), planes, step, rows,
                  columns, filter, threads);
  else
    filter_images(static_cast<float*>(y), static_cast<const float*>(x), planes, step, rows, columns,
                  filter, threads);
}
