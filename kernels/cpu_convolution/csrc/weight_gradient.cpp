// Gradient of a convolution's weight through minimal filtering, the adjoint of the forward pass:
// both images to points, one matrix product a point with a sum over tiles, points to taps.
//
// Every element of a product is summed by one thread over tiles in order, so the result does not
// depend on the number of threads.
#include <algorithm>

#include "tiles.h"

namespace ganvas {

struct WeightGradient {
  const float* x;   // [n, height, width, in], whole vectors of channels
  const float* dy;  // [n, result height, result width, out]
  float* dw;        // [out, in, k, k], of any strides
  float* workspace;
  int64_t n, height, width, in, out;
  int64_t strides[4];
  int64_t form, threads;
  float gain;
};

namespace {

constexpr int64_t BLOCK = VL;   // input channels side by side
constexpr int64_t TILES = 256;  // summed at a time: their points stay in the cache
constexpr int64_t HALF = BLOCK / 2;

template <class T>
struct Shape {
  static constexpr int64_t POINTS = T::POINTS * T::POINTS, SLOTS = T::SLOTS * T::SLOTS;
  int64_t height, width;  // of dy
  int64_t tiles_y, tiles_x, count, block;
  int64_t in, out, blocks, panels;

  explicit Shape(const WeightGradient& g)
      : height(result_size<T>(g.height)),
        width(result_size<T>(g.width)),
        tiles_y(divide_up(height, T::OUT)),
        tiles_x(divide_up(width, T::OUT)),
        count(g.n * tiles_y * tiles_x),
        block(std::min(count, TILES)),
        in(round_up(g.in, VL)),
        out(round_up(g.out, VL)),
        blocks(in / BLOCK),
        panels(divide_up(out, PANEL)) {}

  // Points of x lie as [point, block of channels, tile, BLOCK]; of dy as
  // [point, panel, tile, PANEL]; the sums as [slot, panel, in, PANEL].
  int64_t x_points() const { return POINTS * blocks * block * BLOCK; }
  int64_t y_points() const { return POINTS * panels * block * PANEL; }
  int64_t sums() const { return SLOTS * panels * in * PANEL; }
};

// Maps a patch of `Size` x `Size` pixels at (top, left) of a dense image to points, `distance`
// floats from one another. Pixels outside the image are zeros.
template <int Size, int Points, bool Inside, class Map>
inline void transform(Map map, const float* image, int64_t height, int64_t width, int64_t channels,
                      int64_t top, int64_t left, float* to, int64_t distance) {
  vec rows[Points][Size];
#pragma GCC unroll 8
  for (int j = 0; j < Size; ++j) {
    vec column[Size], mapped[Points];
#pragma GCC unroll 8
    for (int i = 0; i < Size; ++i) {
      const int64_t y = top + i, x = left + j;
      if (Inside || (y >= 0 && y < height && x >= 0 && x < width))
        column[i] = load(image + (y * width + x) * channels);
      else
        column[i] = vec{};
    }
    map(column, mapped);
#pragma GCC unroll 8
    for (int p = 0; p < Points; ++p) rows[p][j] = mapped[p];
  }
#pragma GCC unroll 8
  for (int p = 0; p < Points; ++p) {
    vec mapped[Points];
    map(rows[p], mapped);
#pragma GCC unroll 8
    for (int q = 0; q < Points; ++q) store(to + (p * Points + q) * distance, mapped[q]);
  }
}

// The same for all channels, which go to groups of `group`, `block` floats from one another.
template <int Size, int Points, class Map>
inline void transform_all(Map map, const float* image, int64_t height, int64_t width,
                          int64_t channels, int64_t top, int64_t left, int64_t group, int64_t block,
                          float* to, int64_t distance) {
  const bool inside = top >= 0 && left >= 0 && top + Size <= height && left + Size <= width;
  for (int64_t k = 0; k < channels; k += VL) {
    float* here = to + k / group * block + k % group;
    if (inside)
      transform<Size, Points, true>(map, image + k, height, width, channels, top, left, here,
                                    distance);
    else
      transform<Size, Points, false>(map, image + k, height, width, channels, top, left, here,
                                     distance);
  }
}

template <class T>
void read(const WeightGradient& g, const Shape<T>& s, int64_t tile, int64_t row, float* x_points,
          float* y_points) {
  const int64_t line = tile / s.tiles_x, n = line / s.tiles_y;
  const int64_t ty = line % s.tiles_y, tx = tile % s.tiles_x;
  transform_all<T::IN, T::POINTS>(
      [](const vec* a, vec* b) { T::input(a, b); }, g.x + n * g.height * g.width * s.in, g.height,
      g.width, s.in, ty * T::STEP - BEFORE<T>, tx * T::STEP - BEFORE<T>, BLOCK, s.block * BLOCK,
      x_points + row * BLOCK, s.blocks * s.block * BLOCK);
  transform_all<T::OUT, T::POINTS>([](const vec* a, vec* b) { T::spread(a, b); },
                                   g.dy + n * s.height * s.width * s.out, s.height, s.width, s.out,
                                   ty * T::OUT, tx * T::OUT, PANEL, s.block * PANEL,
                                   y_points + row * PANEL, s.panels * s.block * PANEL);
}

// c[r][0..PANEL) += sum over tiles of a[tile][r] * b[tile][0..PANEL) for HALF rows; `first` is =.
__attribute__((noinline)) void accumulate(int64_t tiles, bool first, const float* a, const float* b,
                                          float* c) {
  vec left[HALF] = {}, right[HALF] = {};
#pragma GCC unroll 8
  for (int r = 0; r < HALF && !first; ++r) {
    left[r] = load(c + r * PANEL);
    right[r] = load(c + r * PANEL + VL);
  }
  for (int64_t t = 0; t < tiles; ++t) {
    const vec b0 = load(b), b1 = load(b + VL);
#pragma GCC unroll 8
    for (int r = 0; r < HALF; ++r) {
      const vec s = splat(a[r]);
      left[r] += s * b0;
      right[r] += s * b1;
    }
    a += BLOCK;
    b += PANEL;
  }
#pragma GCC unroll 8
  for (int r = 0; r < HALF; ++r) {
    store(c + r * PANEL, left[r]);
    store(c + r * PANEL + VL, right[r]);
  }
}

// All products of one slot and one panel.
template <class T>
void multiply(const Shape<T>& s, int64_t slot, int64_t panel, int64_t tiles, bool first,
              const float* x_points, const float* y_points, float* sums) {
  float* c = sums + (slot * s.panels + panel) * s.in * PANEL;
  for (int p = 0; p < T::POINTS; ++p)
    for (int q = 0; q < T::POINTS; ++q) {
      if (T::SLOT[p] * T::SLOTS + T::SLOT[q] != slot) continue;
      const int64_t point = p * T::POINTS + q;
      const float* b = y_points + (point * s.panels + panel) * s.block * PANEL;
      for (int64_t i = 0; i < s.in; i += HALF) {
        const float* a = x_points + (point * s.blocks + i / BLOCK) * s.block * BLOCK + i % BLOCK;
        accumulate(tiles, first, a, b, c + i * PANEL);
      }
      first = false;
    }
}

// Sums of one block of input channels and one panel to taps.
template <class T>
void finish(const WeightGradient& g, const Shape<T>& s, int64_t block, int64_t panel,
            const float* sums) {
  constexpr int TAPS = T::TAPS, SLOTS = T::SLOTS;
  float taps[TAPS * TAPS][PANEL][BLOCK];
  for (int64_t i = 0; i < BLOCK; ++i) {
    const float* from = sums + (panel * s.in + block * BLOCK + i) * PANEL;
    for (int half = 0; half < PANEL; half += VL) {
      vec rows[TAPS][SLOTS] = {};
      for (int p = 0; p < SLOTS; ++p)
        for (int q = 0; q < SLOTS; ++q) {
          const vec v = load(from + (p * SLOTS + q) * s.panels * s.in * PANEL + half);
          for (int a = 0; a < TAPS; ++a) rows[a][q] += static_cast<float>(T::G[p][a]) * v;
        }
      for (int a = 0; a < TAPS; ++a)
        for (int b = 0; b < TAPS; ++b) {
          vec v{};
          for (int q = 0; q < SLOTS; ++q) v += static_cast<float>(T::G[q][b]) * rows[a][q];
          float lanes[VL];
          store(lanes, v * g.gain);
          for (int o = 0; o < VL; ++o) taps[a * TAPS + b][half + o][i] = lanes[o];
        }
    }
  }
  const int64_t inputs = std::min(BLOCK, g.in - block * BLOCK);
  const int64_t outputs = std::min<int64_t>(PANEL, g.out - panel * PANEL);
  for (int64_t o = 0; o < outputs; ++o)
    for (int a = 0; a < TAPS; ++a)
      for (int b = 0; b < TAPS; ++b) {
        float* to = g.dw + (panel * PANEL + o) * g.strides[0] + block * BLOCK * g.strides[1] +
                    a * g.strides[2] + b * g.strides[3];
        for (int64_t i = 0; i < inputs; ++i) to[i * g.strides[1]] = taps[a * TAPS + b][o][i];
      }
}

template <class T>
int64_t needed(const WeightGradient& g) {
  const Shape<T> s(g);
  return s.x_points() + s.y_points() + s.sums();
}

template <class T>
void run(const WeightGradient& g) {
  const Shape<T> s(g);
  float* x_points = g.workspace;
  float* y_points = x_points + s.x_points();
  float* sums = y_points + s.y_points();
  // Half a panel may lie beyond the channels.
  if (s.panels * PANEL != s.out) std::fill_n(y_points, s.y_points(), 0.0f);
#pragma omp parallel num_threads(g.threads)
  {
    for (int64_t first = 0; first < s.count; first += s.block) {
      const int64_t tiles = std::min(s.block, s.count - first);
#pragma omp for schedule(static)
      for (int64_t t = 0; t < tiles; ++t) read<T>(g, s, first + t, t, x_points, y_points);
#pragma omp for schedule(dynamic)
      for (int64_t item = 0; item < s.SLOTS * s.panels; ++item)
        multiply<T>(s, item / s.panels, item % s.panels, tiles, first == 0, x_points, y_points,
                    sums);
    }
#pragma omp for schedule(static)
    for (int64_t item = 0; item < s.blocks * s.panels; ++item)
      finish<T>(g, s, item % s.blocks, item / s.blocks, sums);
  }
}

struct Functions {
  void (*run)(const WeightGradient&);
  int64_t (*needed)(const WeightGradient&);
};

template <class T>
constexpr Functions FUNCTIONS{run<T>, needed<T>};

constexpr Functions TABLE[] = {
    FUNCTIONS<Pointwise>, FUNCTIONS<Direct>,      FUNCTIONS<Winograd2>,  FUNCTIONS<Winograd4>,
    FUNCTIONS<UpDirect>,  FUNCTIONS<UpWinograd3>, FUNCTIONS<DownDirect>, FUNCTIONS<DownWinograd4>};

}  // namespace
}  // namespace ganvas

extern "C" {

// Floats that `workspace` must have.
int64_t ganvas_weight_gradient_workspace(const ganvas::WeightGradient* g) {
  return ganvas::TABLE[g->form].needed(*g);
}

void ganvas_weight_gradient(const ganvas::WeightGradient* g) { ganvas::TABLE[g->form].run(*g); }
}
