// filtered_lrelu and its derivatives on a CPU, float32.
//
// A thread takes 16 channels of a tile and walks down its rows. Input rows are packed pixel by
// pixel, filtered down the columns, along the row, rectified, filtered along the row again, and the
// last few such rows are summed to rows of the result: the up-sampled image lives in the L1 and L2
// caches alone.

#include "filtered_lrelu.h"

#include <omp.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include <cmath>
#include <cstdlib>
#include <vector>

#include "filtered_lrelu_math.h"
#include "fir.h"
#include "vec.h"

namespace ganvas {
namespace flrelu {
namespace {

constexpr int PHASE_TAPS = 6;
constexpr int TILE = 160;     // columns of results of one tile, for which all rows fit into L2
constexpr int MIN_ROWS = 16;  // of a tile; below, too much is computed twice
constexpr int ALIGNMENT = 64;

// Rows of pixels that a thread reuses from tile to tile.
class Rows {
 public:
  Rows() = default;
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;
  ~Rows() { std::free(data_); }

  bool allocate(int64_t rows, int64_t width) {
    width_ = width;
    const size_t bytes = size_t(std::max<int64_t>(rows * width, 1)) * sizeof(Vec);
    data_ = static_cast<Vec*>(std::aligned_alloc(ALIGNMENT, bytes));
    // Blocks reach beyond the last pixel: what they read there must be a number.
    if (data_ != nullptr) std::memset(static_cast<void*>(data_), 0, bytes);
    return data_ != nullptr;
  }

  Vec* operator[](int64_t row) { return data_ + row * width_; }

 private:
  Vec* data_ = nullptr;
  int64_t width_ = 0;
};

struct Plain {
  Vec operator()(Vec v) const { return v; }
};

struct Rectify {
  Vec slope, bound;
  Vec operator()(Vec v) const { return rectify(v, slope, bound); }
};

// Taps with their scale; for a separable filter it is on the vertical taps alone.
struct Taps {
  bool square = false, fast = false, folds = false;
  int height = 1, width = 1;
  std::vector<float> horizontal, vertical;  // `horizontal` holds all taps of a square filter

  Taps(const float* taps, bool is_square, int taps_y, int taps_x, float scale, int step)
      : square(is_square), height(taps_y), width(taps_x) {
    fast = height == PHASE_TAPS * step && width == PHASE_TAPS * step;
    if (square) {
      horizontal.assign(taps, taps + int64_t(height) * width);
      for (float& tap : horizontal) tap *= scale;
      folds = fast && height % 2 == 0;
      for (int k = 0; k < height / 2; ++k)
        for (int l = 0; l < width; ++l)
          folds &= taps[k * width + l] == taps[(height - 1 - k) * width + l];
    } else {
      horizontal.assign(taps, taps + width);
      vertical = horizontal;
      for (float& tap : vertical) tap *= scale;
    }
  }
};

// The up-sampled and filtered image of 16 channels, row by row.
class Upsampler {
 public:
  Upsampler(const GanvasUpsampled& from)
      : from_(from),
        taps_(from.taps, from.square, from.taps_y, from.taps_x, from.scale, from.up),
        phase_y_((taps_.height + from.up - 1) / from.up),
        phase_x_((taps_.width + from.up - 1) / from.up) {
    for (int k = 0; k < (taps_.square ? taps_.height : 1); ++k)
      tap_rows_.push_back(taps_.horizontal.data() + k * taps_.width);
    square_rows_.resize(phase_y_);
    square_taps_.resize(phase_y_);
    vertical_rows_.resize(from.up);
  }

  // Room for up to `columns` columns of the wide image.
  bool allocate(int columns) {
    const int groups = round_up(columns / from_.up + 2, BLOCK);
    width_ = round_up(groups + phase_x_, BLOCK);
    tags_.assign(phase_y_, NONE);
    return packed_.allocate(phase_y_, width_) && vertical_.allocate(from_.up, width_);
  }

  // Pixels that `row` writes for that many columns.
  int row_capacity(int columns) const { return round_up(columns / from_.up + 2, BLOCK) * from_.up; }

  void start(int64_t sample, int64_t channel, int lanes, int first_column, int columns) {
    image_ = static_cast<const float*>(from_.image) + sample * from_.strides[0] +
             channel * from_.strides[1];
    lanes_ = lanes;
    bias_ = Vec{};
    if (from_.bias != nullptr)
      for (int i = 0; i < lanes; ++i) bias_[i] = from_.bias[channel + i];
    first_group_ = first_sample(first_column, from_.pad_x, from_.up);
    groups_ = first_sample(first_column + columns - 1, from_.pad_x, from_.up) - first_group_ + 1;
    skip_ = first_column - (from_.pad_x + (first_group_ - 1) * from_.up + 1);
    std::fill(tags_.begin(), tags_.end(), NONE);
    group_row_ = NONE;
  }

  // Writes row Y into `out` and returns where in it the first column is.
  template <class Act>
  const Vec* row(Vec* out, int Y, Act act) {
    if (taps_.fast && from_.up == 2)
      filter<PHASE_TAPS, 2>(out, Y, act);
    else if (taps_.fast && from_.up == 4)
      filter<PHASE_TAPS, 4>(out, Y, act);
    else
      filter<0, 0>(out, Y, act);
    return out + skip_;
  }

  Vec* first(Vec* out) const { return out + skip_; }

 private:
  static constexpr int NONE = INT32_MIN;

  template <int P, int S, class Act>
  void filter(Vec* out, int Y, Act act) {
    const int up = from_.up, g = first_sample(Y, from_.pad_y, from_.up);
    const int phase = g * up + from_.pad_y - Y;  // first tap that meets a sample
    const int groups = round_up(groups_, BLOCK);
    if (taps_.square) {
      const int count = phase_count(taps_.height, phase, up);
      for (int m = 0; m < count; ++m) {
        square_rows_[m] = packed_row(g + m);
        square_taps_[m] = tap_rows_[phase + up * m];
      }
      up_horizontal<P, S>(out, square_rows_.data(), count, groups, up, square_taps_.data(),
                          taps_.width, act);
      return;
    }
    if (group_row_ != g) {
      for (int m = 0; m < phase_y_; ++m) square_rows_[m] = packed_row(g + m);
      for (int j = 0; j < up; ++j) vertical_rows_[j] = vertical_[j];
      up_vertical<P, S>(vertical_rows_.data(), square_rows_.data(), round_up(groups_ + phase_x_, 4),
                        up, taps_.vertical.data(), taps_.height);
      group_row_ = g;
    }
    const Vec* source = vertical_[up - 1 - phase];
    up_horizontal<P, S>(out, &source, 1, groups, up, tap_rows_.data(), taps_.width, act);
  }

  // Row i of the image with its bias, zero beyond the image's border.
  const Vec* packed_row(int i) {
    const int slot = ((i % phase_y_) + phase_y_) % phase_y_;
    Vec* row = packed_[slot];
    if (tags_[slot] == i) return row;
    tags_[slot] = i;
    const int n = groups_ + phase_x_;
    if (i < 0 || i >= from_.height) {
      std::fill(row, row + n, Vec{});
      return row;
    }
    const int begin = std::min(std::max(-first_group_, 0), n);
    const int end = std::max(std::min(from_.width - first_group_, n), begin);
    std::fill(row, row + begin, Vec{});
    std::fill(row + end, row + n, Vec{});
    const int64_t step = from_.strides[3], next = from_.strides[2];
    const float* pixel = image_ + i * next + (int64_t(first_group_) + begin) * step;
    if (lanes_ == LANES && from_.strides[1] == 1) {
      const bool ahead = i + 1 < from_.height;
      for (int x = begin; x < end; ++x, pixel += step) {
        if (ahead) __builtin_prefetch(pixel + next);
        row[x] = load(pixel) + bias_;
      }
      return row;
    }
    float* to = reinterpret_cast<float*>(row + begin);
    std::memset(to, 0, size_t(end - begin) * sizeof(Vec));
    for (int lane = 0; lane < lanes_; ++lane) {
      const float* plane = pixel + lane * from_.strides[1];
      for (int x = 0; x < end - begin; ++x) to[x * LANES + lane] = plane[x * step] + bias_[lane];
    }
    return row;
  }

  const GanvasUpsampled& from_;
  Taps taps_;
  int phase_y_, phase_x_;
  std::vector<const float*> tap_rows_, square_taps_;
  std::vector<const Vec*> square_rows_;
  std::vector<Vec*> vertical_rows_;
  std::vector<int> tags_;
  Rows packed_, vertical_;
  const float* image_ = nullptr;
  Vec bias_ = {};
  int lanes_ = 0, width_ = 0, first_group_ = 0, groups_ = 0, skip_ = 0, group_row_ = NONE;
};

// One thread's work.
class Worker {
 public:
  explicit Worker(const GanvasFilteredLrelu& call, int columns, int rows)
      : call_(call),
        main_(call.main),
        guide_(call.guide.image != nullptr ? call.guide : call.main),
        taps_(call.taps, call.square, call.taps_y, call.taps_x, call.scale, call.down),
        columns_(columns),
        tile_rows_(rows) {
    act_ = {broadcast(call.slope), broadcast(call.clamp)};
  }

  bool allocate() {
    const int wide = wide_columns(columns_);
    // Blocks of results read beyond the tile's last column.
    const int slack = BLOCK * call_.down + taps_.width;
    const int main = main_.row_capacity(wide) + slack;
    const int guide = guide_.row_capacity(wide) + slack;
    ring_ = STRIP * call_.down + taps_.height;
    pointers_.resize(ring_);
    const int kept = taps_.square ? main : round_up(columns_, BLOCK);
    return main_.allocate(wide) && guide_.allocate(wide) && wide_.allocate(1, main) &&
           guided_.allocate(1, guide) && rows_.allocate(ring_ + 1, kept);
  }

  void run(int64_t sample, int64_t channel, int x0, int y0) {
    x0_ = x0;
    count_ = std::min(columns_, call_.width - x0);
    lanes_ = int(std::min<int64_t>(LANES, call_.channels - channel));
    const int end = std::min(y0 + tile_rows_, call_.height);
    first_wide_ = x0 * call_.down + call_.offset_x;
    const int wide = wide_columns(count_);
    main_.start(sample, channel, lanes_, first_wide_, wide);
    if (call_.guide.image != nullptr) guide_.start(sample, channel, lanes_, first_wide_, wide);
    result_ =
        static_cast<float*>(call_.result) + sample * call_.strides[0] + channel * call_.strides[1];
    if (taps_.fast && call_.down == 2)
      walk<PHASE_TAPS, 2>(y0, end);
    else if (taps_.fast && call_.down == 4)
      walk<PHASE_TAPS, 4>(y0, end);
    else
      walk<0, 0>(y0, end);
  }

 private:
  // Rows [y0, end) of the result, from top to bottom.
  template <int P, int S>
  void walk(int y0, int end) {
    int next = y0 * call_.down + call_.offset_y;
    for (int y = y0; y < end; y += STRIP) {
      const int valid = std::min(STRIP, end - y);
      const int first = y * call_.down + call_.offset_y;
      const int last = first + (valid - 1) * call_.down + taps_.height;
      for (next = std::max(next, first); next < last; ++next) produce<P, S>(next);
      for (int k = 0; k < ring_; ++k)
        pointers_[k] = first + k < last ? kept(first + k) : rows_[ring_];
      if (taps_.square)
        sum_square<P, S>(y, valid);
      else
        sum_vertical<P, S>(y, valid);
    }
  }

  int wide_columns(int columns) const { return (columns - 1) * call_.down + taps_.width; }

  Vec* slot(int Y) { return rows_[((Y % ring_) + ring_) % ring_]; }

  // Where the first column of a kept row is.
  const Vec* kept(int Y) { return taps_.square ? main_.first(slot(Y)) : slot(Y); }

  // Computes row Y of the wide image and keeps what the result's rows need of it.
  template <int P, int S>
  void produce(int Y) {
    Vec* wide = taps_.square ? slot(Y) : wide_[0];
    Vec* first = main_.first(wide);
    const int n = wide_columns(count_);
    if (Y < 0 || Y >= call_.wide_height) {
      std::fill(first, first + n, Vec{});
    } else if (call_.guide.image == nullptr) {
      main_.row(wide, Y, act_);
    } else {
      main_.row(wide, Y, Plain{});
      const Vec* guide = guide_.row(guided_[0], Y, Plain{});
      const Vec one = broadcast(1.0f);
      for (int x = 0; x < n; ++x) first[x] *= rectify_slope(guide[x], act_.slope, act_.bound, one);
    }
    const int before = std::min(std::max(-first_wide_, 0), n);
    const int inside = std::max(std::min(call_.wide_width - first_wide_, n), before);
    std::fill(first, first + before, Vec{});
    std::fill(first + inside, first + n, Vec{});
    if (taps_.square) return;
    down_horizontal<P, S>(slot(Y), first, round_up(count_, BLOCK), call_.down,
                          taps_.horizontal.data(), taps_.width);
  }

  template <int P, int S>
  void sum_vertical(int y, int valid) {
    for (int x = 0; x < count_; x += WIDE) {
      Vec out[STRIP][WIDE];
      down_vertical<P, S>(out, pointers_.data(), x, call_.down, taps_.vertical.data(),
                          taps_.height);
      const int n = std::min(WIDE, count_ - x);
      for (int i = 0; i < valid; ++i) put(y + i, x, out[i], n);
    }
  }

  template <int P, int S>
  void sum_square(int y, int valid) {
    for (int x = 0; x < count_; x += BLOCK)
      for (int i = 0; i < valid; ++i) {
        Vec out[BLOCK];
        const Vec* const* rows = pointers_.data() + i * call_.down;
        const float* taps = taps_.horizontal.data();
        if (P > 0 && taps_.folds)
          down_square_folded<P, S>(out, rows, x, taps);
        else
          down_square<P, S>(out, rows, x, call_.down, taps, taps_.height, taps_.width);
        put(y + i, x, out, std::min(BLOCK, count_ - x));
      }
  }

  // Writes n pixels of row y from column x on.
  void put(int y, int x, const Vec* v, int n) {
    const int64_t step = call_.strides[3], across = call_.strides[1];
    float* to = result_ + y * call_.strides[2] + (x0_ + x) * step;
    if (lanes_ == LANES && across == 1) {
      for (int i = 0; i < n; ++i) store(to + i * step, v[i]);
      return;
    }
    for (int lane = 0; lane < lanes_; ++lane)
      for (int i = 0; i < n; ++i) to[lane * across + i * step] = v[i][lane];
  }

  const GanvasFilteredLrelu& call_;
  Upsampler main_, guide_;
  Taps taps_;
  Rectify act_;
  Rows wide_, guided_, rows_;
  std::vector<const Vec*> pointers_;
  float* result_ = nullptr;
  int columns_, tile_rows_, ring_ = 0, x0_ = 0, count_ = 0, lanes_ = 0, first_wide_ = 0;
};

// Asks for large pages under the result, which is fresh memory as a rule: taking 45 MB of it page
// by page was measured to last as long as the filters themselves.
void prefer_large_pages(const GanvasFilteredLrelu& call) {
#ifdef __linux__
  constexpr uintptr_t PAGE = uintptr_t(2) << 20;
  const int64_t pixels = call.batch * call.channels * call.height * call.width;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(call.result) + PAGE - 1) / PAGE * PAGE;
  const uintptr_t end =
      reinterpret_cast<uintptr_t>(static_cast<float*>(call.result) + pixels) / PAGE * PAGE;
  // A refusal costs speed alone.
  if (begin < end) (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)call;
#endif
}

int ceil_div(int64_t a, int64_t b) { return int((a + b - 1) / b); }

}  // namespace
}  // namespace flrelu
}  // namespace ganvas

extern "C" int ganvas_filtered_lrelu_cpu(const GanvasFilteredLrelu* call) {
  using namespace ganvas::flrelu;
  const int64_t blocks = ceil_div(call->channels, LANES);
  const int tiles_x = ceil_div(call->width, TILE);
  const int columns = ceil_div(call->width, tiles_x);
  // Few channels: cut the rows as well, so that every thread has work.
  const int64_t wanted = 4 * int64_t(call->threads);
  int tiles_y = ceil_div(wanted, call->batch * blocks * tiles_x);
  if (call->threads == 1) tiles_y = 1;
  tiles_y = std::max(1, std::min(tiles_y, call->height / MIN_ROWS));
  const int rows = ganvas::flrelu::round_up(ceil_div(call->height, tiles_y), STRIP);
  tiles_y = ceil_div(call->height, rows);
  const int64_t items = call->batch * blocks * tiles_x * tiles_y;
  prefer_large_pages(*call);
  int failed = 0;
#pragma omp parallel num_threads(call->threads) reduction(| : failed)
  {
    Worker worker(*call, columns, rows);
    failed |= !worker.allocate();
#pragma omp for schedule(dynamic)
    for (int64_t item = 0; item < items; ++item) {
      if (failed) continue;
      const int64_t tile = item % (tiles_x * tiles_y), plane = item / (tiles_x * tiles_y);
      worker.run(plane / blocks, plane % blocks * LANES, int(tile % tiles_x) * columns,
                 int(tile / tiles_x) * rows);
    }
  }
  return failed;
}
