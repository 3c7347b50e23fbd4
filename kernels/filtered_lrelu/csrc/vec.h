// 16 channels of one pixel. Rows in memory have this layout on every machine, so the vectors are
// not those of common/csrc/vector.h: the compiler splits them where registers are narrower.
#pragma once

#include <cstdint>
#include <cstring>

namespace ganvas {
namespace flrelu {

constexpr int LANES = 16;
typedef float Vec __attribute__((vector_size(LANES * sizeof(float))));
typedef float VecUnaligned __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

inline Vec broadcast(float value) { return value - Vec{}; }

// `tap` in every lane of a register. Left alone, GCC reads it from memory for each multiplication,
// and the loads, not the multiplications, set the speed.
inline Vec tap_register(float tap) {
  Vec v = broadcast(tap);
#ifdef __AVX512F__
  __asm__("" : "+v"(v));
#endif
  return v;
}

inline Vec load(const float* from) { return *reinterpret_cast<const VecUnaligned*>(from); }

inline void store(float* to, Vec v) { *reinterpret_cast<VecUnaligned*>(to) = v; }

}  // namespace flrelu
}  // namespace ganvas
