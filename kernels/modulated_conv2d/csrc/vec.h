// Vectors of the widest registers that the compiler targets: GCC and clang vector extensions, so
// that one source is AVX-512, AVX2, SSE or NEON code.
#pragma once

#include <cstdint>

namespace ganvas {

#if defined(__AVX512F__)
constexpr int VL = 16;
constexpr int ROWS = 8;  // rows of the matrix product's register block
#elif defined(__AVX__)
constexpr int VL = 8;
constexpr int ROWS = 6;
#else
constexpr int VL = 4;
constexpr int ROWS = 6;
#endif
constexpr int PANEL = 2 * VL;  // columns of the register block

typedef float vec __attribute__((vector_size(VL * sizeof(float))));
typedef int32_t ivec __attribute__((vector_size(VL * sizeof(float))));
typedef float loose_vec
    __attribute__((vector_size(VL * sizeof(float)), aligned(sizeof(float)), may_alias));

inline vec load(const float* p) { return *reinterpret_cast<const loose_vec*>(p); }
inline void store(float* p, vec v) { *reinterpret_cast<loose_vec*>(p) = v; }
inline vec splat(float x) { return x - vec{}; }  // -0 and NaN pass

// Sum of the lanes, pairwise, always in the same order.
inline float sum(vec v) {
  float lanes[VL];
  store(lanes, v);
  for (int half = VL / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

inline int64_t divide_up(int64_t n, int64_t by) { return (n + by - 1) / by; }
inline int64_t round_up(int64_t n, int64_t to) { return divide_up(n, to) * to; }

}  // namespace ganvas
