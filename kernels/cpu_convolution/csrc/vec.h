// The vectors of common/csrc/vector.h as convolutions use them, whole ones of floats, and the
// register block of their matrix products.
#pragma once

#include <cstdint>

#include "../../common/csrc/vector.h"

namespace ganvas {

using ganvas_vector::store;
using ganvas_vector::sum;
using ganvas_vector::vec;

constexpr int VL = ganvas_vector::kLanes;
constexpr int ROWS = VL == 16 ? 8 : 6;  // AVX-512 has twice the registers
constexpr int PANEL = 2 * VL;           // columns of the block

inline vec load(const float* p) { return ganvas_vector::load<vec>(p); }
inline vec splat(float x) { return ganvas_vector::splat<vec>(x); }

inline int64_t divide_up(int64_t n, int64_t by) { return (n + by - 1) / by; }
inline int64_t round_up(int64_t n, int64_t to) { return divide_up(n, to) * to; }

}  // namespace ganvas
