// 16 channels of one pixel; the compiler splits the vector where registers are narrower.
#pragma once

#include <cstdint>
#include <cstring>

namespace ganvas {
namespace flrelu {

constexpr int LANES = 16;
typedef float Vec __attribute__((vector_size(LANES * sizeof(float))));
typedef float VecUnaligned __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

inline Vec broadcast(float value) { return Vec{} + value; }

inline Vec load(const float* from) { return *reinterpret_cast<const VecUnaligned*>(from); }

inline void store(float* to, Vec v) { *reinterpret_cast<VecUnaligned*>(to) = v; }

}  // namespace flrelu
}  // namespace ganvas
