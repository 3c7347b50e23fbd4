// bias_act and its backward pass on CPUs, for piecewise linear activations: each one pass over
// memory. x is seen as [outer, channels, inner]; channels_last images have inner 1.
//
// The bias gradient is summed in blocks that do not depend on the number of threads, and the
// blocks in order, so that it is the same in every run.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "bias_act_math.h"

namespace {

using namespace ganvas_bias_act;
using namespace ganvas_vector;

constexpr int64_t kBlock = 4096;      // elements that one thread takes at a time
constexpr int64_t kParallel = 32768;  // elements from which on it is shared

// How x is cut: `count` blocks of at most `length`, rows of `channels` or parts of `inner`.
struct Blocks {
  int64_t channels, inner, rows, per_row, length, count;

  Blocks(int64_t outer, int64_t channels, int64_t inner) : channels(channels), inner(inner) {
    if (inner == 1) {
      rows = outer;
      per_row = 1;
      length = std::max<int64_t>(1, kBlock / channels);  // rows a block
      count = (rows + length - 1) / length;
    } else {
      rows = outer * channels;
      length = kBlock;
      per_row = (inner + length - 1) / length;
      count = rows * per_row;
    }
  }
};

template <typename Body>
void for_each(int64_t count, int64_t elements, int threads, const Body& body) {
#pragma omp parallel num_threads(threads) if (elements >= kParallel)
  {
#pragma omp for schedule(static)
    for (int64_t i = 0; i < count; ++i) body(i);
    finish_writes();
  }
}

// A row of few channels fills no vector: sixteen rows are one of sixteen times the channels.
constexpr int64_t kRepeat = 16;
inline bool narrow(int64_t outer, int64_t channels, int64_t inner) {
  return inner == 1 && channels < 2 * kLanes && outer >= kRepeat;
}

template <bool kStream, typename T>
void forward(T* y, const T* x, const float* bias, int64_t outer, int64_t channels, int64_t inner,
             const Slopes& slopes, int threads) {
  const float none = 0.0f;
  if (!bias && channels == 1 && inner == 1) bias = &none;
  if (narrow(outer, channels, inner)) {
    std::vector<float> wide(channels * kRepeat);
    for (int64_t i = 0; i < channels * kRepeat; ++i) wide[i] = bias[i % channels];
    const int64_t whole = outer / kRepeat, done = whole * kRepeat;
    forward<false>(y, x, wide.data(), whole, channels * kRepeat, 1, slopes, threads);
    y += done * channels;
    x += done * channels;
    outer -= done;
  }
  const Blocks blocks(outer, channels, inner);
  for_each(blocks.count, outer * channels * inner, threads, [&](int64_t block) {
    if (inner == 1) {
      const int64_t end = std::min(outer, (block + 1) * blocks.length);
      for (int64_t row = block * blocks.length; row < end; ++row) {
        const int64_t at = row * channels;
        packs(channels, [&](int64_t i, auto pack) {
          using Pack = decltype(pack);
          write<kStream>(y + at + i,
                         activate(load<Pack>(x + at + i) + load<Pack>(bias + i), slopes));
        });
      }
    } else {
      const int64_t row = block / blocks.per_row, begin = block % blocks.per_row * blocks.length;
      const int64_t at = row * inner + begin;
      const float b = bias ? bias[row % channels] : 0.0f;
      packs(std::min(blocks.length, inner - begin), [&](int64_t i, auto pack) {
        using Pack = decltype(pack);
        Pack z = load<Pack>(x + at + i);
        write<kStream>(y + at + i, activate(bias ? z + b : z, slopes));
      });
    }
  });
}

template <bool kStream, typename T>
void backward(T* dx, float* db, const T* dy, const T* y, int64_t outer, int64_t channels,
              int64_t inner, const Slopes& slopes, int threads) {
  if (db && narrow(outer, channels, inner)) {
    const int64_t wide = channels * kRepeat, whole = outer / kRepeat, done = whole * kRepeat;
    std::vector<float> sums(wide), rest(channels);
    backward<false>(dx, sums.data(), dy, y, whole, wide, 1, slopes, threads);
    const int64_t at = done * channels;
    backward<false>(dx + at, rest.data(), dy + at, y + at, outer - done, channels, 1, slopes,
                    threads);
    for (int64_t i = 0; i < wide; ++i) rest[i % channels] += sums[i];
    std::copy(rest.begin(), rest.end(), db);
    return;
  }
  const Blocks blocks(outer, channels, inner);
  const int64_t width = inner == 1 ? channels : 1;  // sums of a block
  std::vector<float> partial(db ? blocks.count * width : 0);
  for_each(blocks.count, outer * channels * inner, threads, [&](int64_t block) {
    float* sums = db ? partial.data() + block * width : nullptr;
    if (inner == 1) {
      const int64_t end = std::min(outer, (block + 1) * blocks.length);
      for (int64_t row = block * blocks.length; row < end; ++row) {
        const int64_t at = row * channels;
        packs(channels, [&](int64_t i, auto pack) {
          using Pack = decltype(pack);
          Pack dz = differentiate(load<Pack>(dy + at + i), load<Pack>(y + at + i), slopes);
          write<kStream>(dx + at + i, dz);
          if (sums) store(sums + i, load<Pack>(sums + i) + dz);
        });
      }
    } else {
      const int64_t row = block / blocks.per_row, begin = block % blocks.per_row * blocks.length;
      const int64_t at = row * inner + begin;
      vec total = {};
      float last = 0.0f;
      const auto add = [&](auto dz) {
        if constexpr (Width<decltype(dz)>::value == 1)
          last += dz;
        else
          total += dz;
      };
      packs(std::min(blocks.length, inner - begin), [&](int64_t i, auto pack) {
        using Pack = decltype(pack);
        Pack dz = differentiate(load<Pack>(dy + at + i), load<Pack>(y + at + i), slopes);
        write<kStream>(dx + at + i, dz);
        add(dz);
      });
      if (sums) *sums = sum(total) + last;
    }
  });
  if (!db) return;
  std::fill(db, db + channels, 0.0f);
  if (inner == 1) {
    for (int64_t block = 0; block < blocks.count; ++block)
      for (int64_t c = 0; c < channels; ++c) db[c] += partial[block * channels + c];
  } else {
    for (int64_t row = 0; row < blocks.rows; ++row) {
      float total = 0.0f;
      for (int64_t i = 0; i < blocks.per_row; ++i) total += partial[row * blocks.per_row + i];
      db[row % channels] += total;
    }
  }
}

template <typename T>
void run_forward(void* y, const void* x, const float* bias, int64_t outer, int64_t channels,
                 int64_t inner, const Slopes& slopes, int threads) {
  T* to = static_cast<T*>(y);
  const bool stream = streams(to, outer * channels * inner, inner == 1 ? channels : inner);
  const auto run = stream ? forward<true, T> : forward<false, T>;
  run(to, static_cast<const T*>(x), bias, outer, channels, inner, slopes, threads);
}

template <typename T>
void run_backward(void* dx, float* db, const void* dy, const void* y, int64_t outer,
                  int64_t channels, int64_t inner, const Slopes& slopes, int threads) {
  T* to = static_cast<T*>(dx);
  const bool stream = streams(to, outer * channels * inner, inner == 1 ? channels : inner);
  const auto run = stream ? backward<true, T> : backward<false, T>;
  run(to, db, static_cast<const T*>(dy), static_cast<const T*>(y), outer, channels, inner, slopes,
      threads);
}

}  // namespace

// y = clamp(gain * act(x + bias)); bias may be null where outer and channels are 1.
extern "C" void ganvas_bias_act_cpu(void* y, const void* x, const float* bias, int64_t outer,
                                    int64_t channels, int64_t inner, float positive, float negative,
                                    float bound, int is_bfloat16, int threads) {
  if (outer * channels * inner == 0) return;
  const Slopes slopes{positive, negative, bound};
  const auto run = is_bfloat16 ? run_forward<bfloat16> : run_forward<float>;
  run(y, x, bias, outer, channels, inner, slopes, threads);
}

// dx from dy and the forward result y; db [channels] may be null.
extern "C" void ganvas_bias_act_backward_cpu(void* dx, float* db, const void* dy, const void* y,
                                             int64_t outer, int64_t channels, int64_t inner,
                                             float positive, float negative, float bound,
                                             int is_bfloat16, int threads) {
  if (db) std::fill(db, db + channels, 0.0f);
  if (outer * channels * inner == 0) return;
  const Slopes slopes{positive, negative, bound};
  const auto run = is_bfloat16 ? run_backward<bfloat16> : run_backward<float>;
  run(dx, db, dy, y, outer, channels, inner, slopes, threads);
}
