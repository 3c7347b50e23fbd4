// Styles and demodulation factors of all layers at once.
#include <cmath>
#include <cstring>

#include "matmul.h"

namespace ganvas {

// y[row] = x[row] weight + bias, or rsqrt(x[row]^2 weight + epsilon) for demodulation factors
// (Karras et al. 2020, equation 3). Rows of y have room for whole panels. Mirrored by ctypes in
// compiled.py.
struct Affine {
  const float* x;
  const float* weight;  // [in, out], from ganvas_pack_weight in the pointwise form
  const float* bias;    // [whole panels] or null
  float* y;
  int64_t x_stride, y_stride, in, out, demodulate;
  float epsilon;
};

namespace {

constexpr int64_t DEPTH = 256;  // of the squares that are held at a time
constexpr int64_t GROUP = ROWS;

void run(const Affine& job, int64_t rows, int64_t panel) {
  const float* weight = job.weight + panel * job.in * PANEL;
  for (int64_t first = 0; first < rows; first += GROUP) {
    const int64_t count = rows - first < GROUP ? rows - first : GROUP;
    const float* x = job.x + first * job.x_stride;
    float* y = job.y + first * job.y_stride + panel * PANEL;
    if (!job.demodulate) {
      multiply_panel(count, job.in, x, job.x_stride, weight, y, job.y_stride);
      if (!job.bias) continue;
      for (int64_t r = 0; r < count; ++r)
        for (int64_t j = 0; j < PANEL; ++j) y[r * job.y_stride + j] += job.bias[panel * PANEL + j];
      continue;
    }
    float total[GROUP][PANEL] = {}, part[GROUP][PANEL], squares[GROUP][DEPTH];
    for (int64_t k = 0; k < job.in; k += DEPTH) {
      const int64_t depth = job.in - k < DEPTH ? job.in - k : DEPTH;
      for (int64_t r = 0; r < count; ++r)
        for (int64_t i = 0; i < depth; ++i) {
          const float v = x[r * job.x_stride + k + i];
          squares[r][i] = v * v;
        }
      multiply_panel(count, depth, squares[0], DEPTH, weight + k * PANEL, part[0], PANEL);
      for (int64_t r = 0; r < count; ++r)
        for (int64_t j = 0; j < PANEL; ++j) total[r][j] += part[r][j];
    }
    for (int64_t r = 0; r < count; ++r)
      for (int64_t j = 0; j < PANEL; ++j)
        y[r * job.y_stride + j] = 1 / std::sqrt(total[r][j] + job.epsilon);
  }
}

}  // namespace
}  // namespace ganvas

extern "C" {

int64_t ganvas_panel_length() { return ganvas::PANEL; }

// Runs `count` jobs that do not depend on one another, on `rows` rows each.
void ganvas_affine(const ganvas::Affine* jobs, int64_t count, int64_t rows, int64_t threads) {
#pragma omp parallel num_threads(threads)
  for (int64_t i = 0; i < count; ++i) {
    const int64_t panels = ganvas::divide_up(jobs[i].out, ganvas::PANEL);
#pragma omp for schedule(dynamic) nowait
    for (int64_t panel = 0; panel < panels; ++panel) ganvas::run(jobs[i], rows, panel);
  }
}
}
