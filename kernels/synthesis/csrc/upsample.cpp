// Images and feature maps doubled in height and width by a separable FIR filter of four taps.
//
// With taps f in the order of a correlation, result 2j is f[0] x[j-1] + f[2] x[j] and result 2j + 1
// is f[1] x[j] + f[3] x[j+1]; beyond the borders x is zero.
#include <omp.h>

#include <cstdint>

#include "../../cpu_convolution/csrc/vec.h"

namespace ganvas {
namespace {

// The two rows, and their factors, that result row `y` is made of.
struct Pair {
  int64_t row[2];
  float factor[2];
  Pair(int64_t y, int64_t size, const float* taps) {
    const int64_t odd = y & 1, first = y / 2 - 1 + odd;
    for (int i = 0; i < 2; ++i) {
      const bool inside = first + i >= 0 && first + i < size;
      // A row beyond the border is replaced by its neighbour, times zero.
      row[i] = inside ? first + i : first + 1 - i;
      factor[i] = inside ? taps[odd + 2 * i] : 0;
    }
  }
};

}  // namespace
}  // namespace ganvas

extern "C" {

// y [planes, 2 height, 2 width] from x [planes, height, width]; `lines` has width + 2 floats a
// thread.
void ganvas_upsample_image(const float* x, float* y, int64_t planes, int64_t height, int64_t width,
                           const float* taps_y, const float* taps_x, float* lines,
                           int64_t threads) {
#pragma omp parallel num_threads(threads)
  {
    float* line = lines + omp_get_thread_num() * (width + 2) + 1;
    line[-1] = line[width] = 0;
#pragma omp for schedule(static)
    for (int64_t item = 0; item < planes * 2 * height; ++item) {
      const ganvas::Pair pair(item % (2 * height), height, taps_y);
      const float* plane = x + item / (2 * height) * height * width;
      const float *a = plane + pair.row[0] * width, *b = plane + pair.row[1] * width;
      for (int64_t j = 0; j < width; ++j) line[j] = pair.factor[0] * a[j] + pair.factor[1] * b[j];
      float* out = y + item * 2 * width;
      for (int64_t j = 0; j < width; ++j) {
        out[2 * j] = taps_x[0] * line[j - 1] + taps_x[2] * line[j];
        out[2 * j + 1] = taps_x[1] * line[j] + taps_x[3] * line[j + 1];
      }
    }
  }
}

// Adds x [n, height, width, channels], doubled, to y; channels are whole vectors.
void ganvas_upsample_add(const float* x, float* y, int64_t n, int64_t height, int64_t width,
                         int64_t channels, const float* taps_y, const float* taps_x,
                         int64_t threads) {
  using namespace ganvas;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t item = 0; item < n * 2 * height; ++item) {
    const Pair rows(item % (2 * height), height, taps_y);
    const float* image = x + item / (2 * height) * height * width * channels;
    for (int64_t i = 0; i < 2 * width; ++i) {
      const Pair columns(i, width, taps_x);
      const float* at[4];
      float factor[4];
      for (int a = 0; a < 2; ++a)
        for (int b = 0; b < 2; ++b) {
          at[2 * a + b] = image + (rows.row[a] * width + columns.row[b]) * channels;
          factor[2 * a + b] = rows.factor[a] * columns.factor[b];
        }
      float* out = y + (item * 2 * width + i) * channels;
      for (int64_t k = 0; k < channels; k += VL)
        store(out + k,
              load(out + k) + (factor[0] * load(at[0] + k) + factor[1] * load(at[1] + k) +
                               (factor[2] * load(at[2] + k) + factor[3] * load(at[3] + k))));
    }
  }
}
}
