// Convolutions with modulated input, minimal filtering and a fused epilogue, over OpenMP threads.
#include "convolution.h"

#include <omp.h>

#include <algorithm>

#include "fir.h"
#include "tiles.h"

namespace ganvas {
namespace {

// Where the threads put their intermediates. Sizes are multiples of whole vectors.
struct Layout {
  int64_t points, products, rows;  // floats of one part
  int64_t parts;                   // one, or one a thread
  int64_t raw;                     // floats of all raw results of a shared transposed convolution
  int64_t part() const { return points + products + rows; }
  int64_t total() const { return parts * part() + raw; }
};

// Of an image's rows, so that no thread waits long for another.
constexpr int64_t PARTS_A_THREAD = 2;

template <class T>
constexpr int64_t RING = 2 * T::STEP + 3;

template <class T>
int64_t raw_row(const Plan<T>& plan) {
  return (plan.result_width + 2) * plan.out;
}

template <class T>
bool filtered(const Convolution& c) {
  return T::UP && c.filtered;
}

template <class T>
Layout layout(const Convolution& c, const Plan<T>& plan) {
  Layout l{plan.points(), plan.products(), 0, 1, 0};
  if (c.shared) {
    if (filtered<T>(c)) l.raw = c.n * plan.result_height * raw_row(plan);
    if (!c.y) l.raw = c.n * plan.result_height * plan.result_width * plan.out;
  } else {
    l.parts = c.threads;
    l.rows = filtered<T>(c) ? RING<T> * raw_row(plan) + 2 * c.width * plan.out
                            : T::OUT * T::OUT * c.tiles * plan.out;
  }
  return l;
}

// Blocks of tiles within one row of tiles, as even as can be.
struct Blocks {
  int64_t count, tiles;
  Blocks(int64_t tiles_in_row, int64_t most)
      : count(divide_up(tiles_in_row, most)), tiles(divide_up(tiles_in_row, count)) {}
};

template <class T>
void multiply_all(const Convolution& c, const Plan<T>& plan, int64_t rows, const float* points,
                  float* products) {
  for (int64_t slot = 0; slot < T::SLOTS * T::SLOTS; ++slot)
    for (int64_t panel = 0; panel < plan.panels; ++panel)
      multiply(c, plan, slot, panel, rows, points, products);
}

// Each thread takes whole blocks of a row of tiles: nothing leaves its cache before it is finished.
template <class T>
void run_separately(const Convolution& c) {
  const Plan<T> plan(c, c.tiles);
  const Layout l = layout(c, plan);
  const Blocks blocks(plan.tiles_x, c.tiles);
  const int64_t items = c.n * plan.tiles_y * blocks.count;
#pragma omp parallel num_threads(c.threads)
  {
    float* points = c.workspace + omp_get_thread_num() * l.part();
    float* products = points + l.points;
    float* rows = products + l.products;
#pragma omp for schedule(dynamic)
    for (int64_t item = 0; item < items; ++item) {
      const int64_t tile_row = item / blocks.count;
      const int64_t first = item % blocks.count * blocks.tiles;
      const int64_t count = std::min(blocks.tiles, plan.tiles_x - first);
      const int64_t tile = tile_row * plan.tiles_x + first;
      const Position at = position(plan, tile);
      for (int64_t i = 0; i < count; ++i) read_tile(c, plan, tile + i, i, points);
      multiply_all(c, plan, count, points, products);
      const int64_t top = at.y * T::OUT, left = at.x * T::OUT;
      const int64_t height = std::min<int64_t>(T::OUT, plan.result_height - top);
      const int64_t width = std::min<int64_t>(T::OUT * count, plan.result_width - left);
      const int64_t pitch = c.y ? plan.result_width : T::OUT * count;
      float* y =
          c.y ? c.y + ((at.n * plan.result_height + top) * plan.result_width + left) * plan.out
              : rows;
      for (int64_t i = 0; i < count; ++i)
        write_finished(c, plan, {at.n, at.y, at.x + i}, i, products, y, top, left, pitch);
      if (c.rgb_weight)
        for (int64_t i = 0; i < height; ++i)
          to_rgb(c, at.n, y + i * pitch * plan.out, width, (top + i) * c.width + left,
                 c.height * c.width);
    }
  }
}

// Each thread takes a range of result rows. It makes raw rows into a ring, one row of tiles after
// another, and filters them as soon as they are complete.
template <class T>
void run_up_separately(const Convolution& c) {
  const Plan<T> plan(c, c.tiles);
  const Layout l = layout(c, plan);
  const Blocks blocks(plan.tiles_x, c.tiles);
  const int64_t height = 2 * c.height, pitch = raw_row(plan);
  const int64_t parts = std::min(PARTS_A_THREAD * c.threads, plan.tiles_y);
#pragma omp parallel num_threads(c.threads)
  {
    float* points = c.workspace + omp_get_thread_num() * l.part();
    float* products = points + l.points;
    float* ring = products + l.products;
    for (int64_t i = 0; i < RING<T>; ++i) {
      std::fill_n(ring + i * pitch, plan.out, 0.0f);
      std::fill_n(ring + (i + 1) * pitch - plan.out, plan.out, 0.0f);
    }
    const auto row = [&](int64_t y) { return ring + y % RING<T> * pitch; };
#pragma omp for schedule(dynamic)
    for (int64_t item = 0; item < c.n * parts; ++item) {
      const int64_t n = item / parts, part = item % parts;
      int64_t y = height * part / parts;
      const int64_t stop = height * (part + 1) / parts;
      const int64_t last = std::min(stop + 1, height) / T::OUT;
      for (int64_t tile_y = std::max<int64_t>(y - 1, 0) / T::OUT; tile_y <= last; ++tile_y) {
        for (int64_t first = 0; first < plan.tiles_x; first += blocks.tiles) {
          const int64_t count = std::min(blocks.tiles, plan.tiles_x - first);
          const int64_t tile = (n * plan.tiles_y + tile_y) * plan.tiles_x + first;
          for (int64_t i = 0; i < count; ++i) read_tile(c, plan, tile + i, i, points);
          multiply_all(c, plan, count, points, products);
          for (int64_t i = 0; i < count; ++i)
            write_raw(plan, {n, tile_y, first + i}, i, products, row);
        }
        const int64_t complete = tile_y == last ? stop : (tile_y + 1) * T::OUT - 2;
        for (; y < std::min(stop, complete); ++y) {
          const float* near[4];
          for (int64_t i = 0; i < 4; ++i)
            near[i] = y + i < 1 || y + i - 1 > height ? nullptr : row(y + i - 1);
          filter_row(c, n, y, near, c.y + (n * height + y) * 2 * c.width * plan.out);
        }
      }
    }
  }
}

// All threads share each block of tiles, so that large weights are read once for all of them.
template <class T>
void run_together(const Convolution& c) {
  const int64_t all = Plan<T>(c, 1).count(c);
  const Plan<T> plan(c, std::min(c.tiles, all));
  const Layout l = layout(c, plan);
  const int64_t block = std::min(c.tiles, all), pitch = raw_row(plan);
  float* points = c.workspace;
  float* products = points + l.points;
  float* raw = c.workspace + l.part();
  float* y = c.y ? c.y : raw;
#pragma omp parallel num_threads(c.threads)
  {
    for (int64_t first = 0; first < all; first += block) {
      const int64_t count = std::min(block, all - first);
#pragma omp for schedule(static)
      for (int64_t i = 0; i < count; ++i) read_tile(c, plan, first + i, i, points);
#pragma omp for schedule(dynamic)
      for (int64_t item = 0; item < T::SLOTS * T::SLOTS * plan.panels; ++item)
        multiply(c, plan, item / plan.panels, item % plan.panels, count, points, products);
#pragma omp for schedule(static)
      for (int64_t i = 0; i < count; ++i) {
        const Position at = position(plan, first + i);
        if (filtered<T>(c))
          write_raw(plan, at, i, products,
                    [&](int64_t row) { return raw + (at.n * plan.result_height + row) * pitch; });
        else
          write_finished(c, plan, at, i, products,
                         y + at.n * plan.result_height * plan.result_width * plan.out, 0, 0,
                         plan.result_width);
      }
    }
    if (filtered<T>(c)) {
      const int64_t height = 2 * c.height;
#pragma omp for schedule(static)
      for (int64_t i = 0; i < c.n * plan.result_height; ++i) {
        std::fill_n(raw + i * pitch, plan.out, 0.0f);
        std::fill_n(raw + (i + 1) * pitch - plan.out, plan.out, 0.0f);
      }
#pragma omp for schedule(static)
      for (int64_t item = 0; item < c.n * height; ++item) {
        const int64_t n = item / height, at = item % height;
        const float* near[4];
        for (int64_t i = 0; i < 4; ++i)
          near[i] = at + i < 1 || at + i - 1 > height
                        ? nullptr
                        : raw + (n * plan.result_height + at + i - 1) * pitch;
        filter_row(c, n, at, near, c.y + item * 2 * c.width * plan.out);
      }
    } else if (c.rgb_weight) {
#pragma omp for schedule(static)
      for (int64_t item = 0; item < c.n * c.height; ++item)
        to_rgb(c, item / c.height, y + item * c.width * plan.out, c.width,
               item % c.height * c.width, c.height * c.width);
    }
  }
}

template <class T>
void run(const Convolution& c) {
  if (c.shared)
    run_together<T>(c);
  else if (filtered<T>(c))
    run_up_separately<T>(c);
  else
    run_separately<T>(c);
}

template <class T>
int64_t workspace(const Convolution& c) {
  const int64_t tiles = c.shared ? std::min(c.tiles, Plan<T>(c, 1).count(c)) : c.tiles;
  return layout(c, Plan<T>(c, tiles)).total();
}

// Factors of `PANEL` output channels and one input channel, each in double precision.
template <class T>
void pack(const float* weight, const int64_t* strides, int64_t out, int64_t in, double gain,
          int64_t threads, float* packed) {
  constexpr int TAPS = T::TAPS, SLOTS = T::SLOTS;
  const int64_t panels = divide_up(out, PANEL);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t item = 0; item < panels * in; ++item) {
    const int64_t panel = item / in, k = item % in;
    double taps[TAPS][TAPS][PANEL] = {}, rows[SLOTS][TAPS][PANEL];
    for (int64_t o = 0; o < PANEL && panel * PANEL + o < out; ++o)
      for (int i = 0; i < TAPS; ++i)
        for (int j = 0; j < TAPS; ++j)
          taps[i][j][o] = gain * weight[(panel * PANEL + o) * strides[0] + k * strides[1] +
                                        i * strides[2] + j * strides[3]];
    for (int s = 0; s < SLOTS; ++s)
      for (int j = 0; j < TAPS; ++j)
        for (int o = 0; o < PANEL; ++o) {
          double total = 0;
          for (int i = 0; i < TAPS; ++i) total += T::G[s][i] * taps[i][j][o];
          rows[s][j][o] = total;
        }
    for (int s = 0; s < SLOTS; ++s)
      for (int t = 0; t < SLOTS; ++t) {
        float* to = packed + (((s * SLOTS + t) * panels + panel) * in + k) * PANEL;
        for (int o = 0; o < PANEL; ++o) {
          double total = 0;
          for (int j = 0; j < TAPS; ++j) total += T::G[t][j] * rows[s][j][o];
          to[o] = static_cast<float>(total);
        }
      }
  }
}

// The functions of each form, in the order of `Form`.
struct Functions {
  void (*run)(const Convolution&);
  int64_t (*workspace)(const Convolution&);
  void (*pack)(const float*, const int64_t*, int64_t, int64_t, double, int64_t, float*);
  int64_t slots;
};

template <class T>
constexpr Functions FUNCTIONS{run<T>, workspace<T>, pack<T>, T::SLOTS * T::SLOTS};

constexpr Functions TABLE[FORMS] = {
    FUNCTIONS<Pointwise>, FUNCTIONS<Direct>,      FUNCTIONS<Winograd2>,  FUNCTIONS<Winograd4>,
    FUNCTIONS<UpDirect>,  FUNCTIONS<UpWinograd3>, FUNCTIONS<DownDirect>, FUNCTIONS<DownWinograd4>};

}  // namespace
}  // namespace ganvas

extern "C" {

int64_t ganvas_vector_length() { return ganvas::VL; }

// Floats of a packed weight.
int64_t ganvas_packed_weight(int64_t form, int64_t out, int64_t in) {
  return ganvas::TABLE[form].slots * ganvas::round_up(out, ganvas::PANEL) * in;
}

// Packs gain * `weight` [out, in, k, k] with any strides, which may be negative; k is 1 for the
// pointwise form and 3 for the others.
void ganvas_pack_weight(int64_t form, const float* weight, const int64_t* strides, int64_t out,
                        int64_t in, double gain, int64_t threads, float* packed) {
  ganvas::TABLE[form].pack(weight, strides, out, in, gain, threads, packed);
}

// Floats that `workspace` must have.
int64_t ganvas_convolution_workspace(const ganvas::Convolution* c) {
  return ganvas::TABLE[c->form].workspace(*c);
}

void ganvas_convolution(const ganvas::Convolution* c) { ganvas::TABLE[c->form].run(*c); }

// Only toRGB: of y, which is read here and has the height and width that the arguments say.
void ganvas_to_rgb(const ganvas::Convolution* c) {
  const int64_t pitch = c->width * ganvas::round_up(c->out, ganvas::VL);
#pragma omp parallel for schedule(static) num_threads(c->threads)
  for (int64_t item = 0; item < c->n * c->height; ++item)
    ganvas::to_rgb(*c, item / c->height, c->y + item * pitch, c->width, item % c->height * c->width,
                   c->height * c->width);
}
}
