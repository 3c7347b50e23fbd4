// A convolution through minimal filtering: tiles of the image to points, one matrix product a
// point, points to tiles of the result. Samples, rows and columns of tiles are numbered in this
// order.
#pragma once

#include "epilogue.h"
#include "matmul.h"
#include "transforms.h"

namespace ganvas {

// Results of a side of `n` samples.
template <class T>
constexpr int64_t result_size(int64_t n) {
  return T::UP ? 2 * n + 1 : T::DOWN ? (n - 1) / 2 : n;
}

// Where the first tile starts: so many samples before the image.
template <class T>
constexpr int64_t BEFORE = T::DOWN ? 0 : T::TAPS / 2;

// Sizes that follow from a form and the arguments.
template <class T>
struct Plan {
  static constexpr int64_t POINTS = T::POINTS * T::POINTS;
  // Result of the matrix products: the image, or the raw result of the transposed convolution.
  int64_t result_height, result_width;
  int64_t tiles_y, tiles_x;
  int64_t in, out, panels;  // padded channels
  int64_t point_row,
      product_row;  // floats a tile; not a power of 2, which would crowd one cache set
  int64_t point_plane, product_plane;  // floats a point

  Plan(const Convolution& c, int64_t block) {
    result_height = result_size<T>(c.height);
    result_width = result_size<T>(c.width);
    tiles_y = divide_up(result_height, T::OUT);
    tiles_x = divide_up(result_width, T::OUT);
    in = round_up(c.in, VL);
    out = round_up(c.out, VL);
    panels = divide_up(c.out, PANEL);
    point_row = in + VL;
    product_row = panels * PANEL + VL;
    point_plane = block * point_row + 3 * VL;
    product_plane = block * product_row + 3 * VL;
  }
  int64_t count(const Convolution& c) const { return c.n * tiles_y * tiles_x; }
  int64_t points() const { return POINTS * point_plane; }
  int64_t products() const { return POINTS * product_plane; }
};

struct Position {
  int64_t n, y, x;
};

template <class T>
inline Position position(const Plan<T>& plan, int64_t tile) {
  const int64_t row = tile / plan.tiles_x;
  return {row / plan.tiles_y, row % plan.tiles_y, tile % plan.tiles_x};
}

template <class T, bool Inside>
inline void read_tile(const Convolution& c, const Plan<T>& plan, Position at, float* points) {
  const int64_t top = at.y * T::STEP - BEFORE<T>, left = at.x * T::STEP - BEFORE<T>;
  const float* x = c.x + at.n * c.x_stride;
  for (int64_t k = 0; k < plan.in; k += VL) {
    const vec s = c.styles ? load(c.styles + at.n * c.styles_stride + k) : splat(1);
    vec rows[T::POINTS][T::IN];
#pragma GCC unroll 8
    for (int j = 0; j < T::IN; ++j) {
      vec column[T::IN], transformed[T::POINTS];
#pragma GCC unroll 8
      for (int i = 0; i < T::IN; ++i) {
        const int64_t y = top + i, column_at = left + j;
        if (Inside || (y >= 0 && y < c.height && column_at >= 0 && column_at < c.width))
          column[i] = load(x + (y * c.width + column_at) * plan.in + k) * s;
        else
          column[i] = vec{};
      }
      T::input(column, transformed);
#pragma GCC unroll 8
      for (int p = 0; p < T::POINTS; ++p) rows[p][j] = transformed[p];
    }
#pragma GCC unroll 8
    for (int p = 0; p < T::POINTS; ++p) {
      vec transformed[T::POINTS];
      T::input(rows[p], transformed);
#pragma GCC unroll 8
      for (int q = 0; q < T::POINTS; ++q)
        store(points + (p * T::POINTS + q) * plan.point_plane + k, transformed[q]);
    }
  }
}

// Tile `tile` of the images to row `row` of the points.
template <class T>
inline void read_tile(const Convolution& c, const Plan<T>& plan, int64_t tile, int64_t row,
                      float* points) {
  const Position at = position(plan, tile);
  const int64_t top = at.y * T::STEP - BEFORE<T>, left = at.x * T::STEP - BEFORE<T>;
  points += row * plan.point_row;
  if (top >= 0 && left >= 0 && top + T::IN <= c.height && left + T::IN <= c.width)
    read_tile<T, true>(c, plan, at, points);
  else
    read_tile<T, false>(c, plan, at, points);
}

// All products of one factor and one panel of output channels, for `rows` tiles.
template <class T>
inline void multiply(const Convolution& c, const Plan<T>& plan, int64_t slot, int64_t panel,
                     int64_t rows, const float* points, float* products) {
  const float* weight = c.weight + (slot * plan.panels + panel) * c.in * PANEL;
  for (int p = 0; p < T::POINTS; ++p)
    for (int q = 0; q < T::POINTS; ++q)
      if (T::SLOT[p] * T::SLOTS + T::SLOT[q] == slot) {
        const int64_t point = p * T::POINTS + q;
        multiply_panel(rows, c.in, points + point * plan.point_plane, plan.point_row, weight,
                       products + point * plan.product_plane + panel * PANEL, plan.product_row);
      }
}

// Row `row` of the products to a tile of results, each handed to `put(i, j, channel, value)`.
template <class T, class Begin>
inline void write_tile(const Plan<T>& plan, int64_t row, const float* products, Begin begin) {
  products += row * plan.product_row;
  for (int64_t k = 0; k < plan.out; k += VL) {
    auto put = begin(k);
    vec rows[T::OUT][T::POINTS];
#pragma GCC unroll 8
    for (int q = 0; q < T::POINTS; ++q) {
      vec column[T::POINTS], transformed[T::OUT];
#pragma GCC unroll 8
      for (int p = 0; p < T::POINTS; ++p)
        column[p] = load(products + (p * T::POINTS + q) * plan.product_plane + k);
      T::output(column, transformed);
#pragma GCC unroll 8
      for (int i = 0; i < T::OUT; ++i) rows[i][q] = transformed[i];
    }
#pragma GCC unroll 8
    for (int i = 0; i < T::OUT; ++i) {
      vec transformed[T::OUT];
      T::output(rows[i], transformed);
#pragma GCC unroll 8
      for (int j = 0; j < T::OUT; ++j) put(i, j, transformed[j]);
    }
  }
}

// Results with their epilogue to `y`, whose first pixel is (top, left) and whose rows have `width`
// pixels.
template <class T>
inline void write_finished(const Convolution& c, const Plan<T>& plan, Position at, int64_t row,
                           const float* products, float* y, int64_t top, int64_t left,
                           int64_t width) {
  const int64_t y0 = at.y * T::OUT, x0 = at.x * T::OUT;
  write_tile<T>(plan, row, products, [&](int64_t k) {
    const Epilogue finish(c, at.n, k);
    return [=, &c, &plan](int i, int j, vec v) {
      if (y0 + i >= plan.result_height || x0 + j >= plan.result_width) return;
      store(y + ((y0 + i - top) * width + x0 + j - left) * plan.out + k,
            finish(v, (y0 + i) * plan.result_width + x0 + j));
    };
  });
}

// Raw results of a transposed convolution to rows(y), each with one pixel of zeros before and
// after.
template <class T, class Rows>
inline void write_raw(const Plan<T>& plan, Position at, int64_t row, const float* products,
                      Rows rows) {
  const int64_t y0 = at.y * T::OUT, x0 = at.x * T::OUT;
  write_tile<T>(plan, row, products, [&](int64_t k) {
    return [=, &plan](int i, int j, vec v) {
      if (y0 + i >= plan.result_height || x0 + j >= plan.result_width) return;
      store(rows(y0 + i) + (x0 + j + 1) * plan.out + k, v);
    };
  });
}

}  // namespace ganvas
