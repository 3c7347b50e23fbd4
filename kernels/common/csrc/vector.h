// Vectors of the widest registers that the compiler targets: GCC and clang vector extensions, so
// that one source is AVX-512, AVX2, SSE or NEON code. Elements in memory are float or bfloat16;
// arithmetic is always float. A "pack" is a vector or one float, for the rest of a row.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace ganvas_vector {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float vec __attribute__((vector_size(kLanes * sizeof(float))));
typedef uint32_t bits __attribute__((vector_size(kLanes * sizeof(uint32_t))));
typedef uint16_t halves __attribute__((vector_size(kLanes * sizeof(uint16_t))));

struct bfloat16 {
  uint16_t value;
};

template <typename Pack>
struct Width;
template <>
struct Width<vec> {
  static constexpr int value = kLanes;
};
template <>
struct Width<float> {
  static constexpr int value = 1;
};

template <typename To, typename From>
inline To reinterpret(From from) {
  static_assert(sizeof(To) == sizeof(From), "same size");
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

template <typename Pack>
inline Pack load(const float* p) {
  Pack v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

template <typename Pack>
inline void store(float* p, Pack v) {
  std::memcpy(p, &v, sizeof(v));
}

// Upper half of the float, rounded to nearest even; NaN stays NaN.
template <typename Bits, typename Pack>
inline Bits round_to_upper_half(Pack v) {
  Bits u = reinterpret<Bits>(v);
  Bits rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  return v == v ? rounded : (u >> 16) | 0x40u;
}

template <typename Pack>
inline Pack load(const bfloat16* p);
template <>
inline float load<float>(const bfloat16* p) {
  return reinterpret<float>(static_cast<uint32_t>(p->value) << 16);
}
template <>
inline vec load<vec>(const bfloat16* p) {
  halves narrow;
  std::memcpy(&narrow, p, sizeof(narrow));
  return reinterpret<vec>(__builtin_convertvector(narrow, bits) << 16);
}

inline void store(bfloat16* p, float v) {
  p->value = static_cast<uint16_t>(round_to_upper_half<uint32_t>(v));
}
inline void store(bfloat16* p, vec v) {
  halves narrow = __builtin_convertvector(round_to_upper_half<bits>(v), halves);
  std::memcpy(p, &narrow, sizeof(narrow));
}

template <typename Pack>
inline Pack splat(float x);
template <>
inline float splat<float>(float x) {
  return x;
}
template <>
inline vec splat<vec>(float x) {
  return x - vec{};  // not +: minus zero stays
}

inline float sum(float v) { return v; }
// Pairwise, always in the same order.
inline float sum(vec v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

// Results larger than this are written past the caches, which would otherwise first read what is
// overwritten, and then lose everything else.
constexpr int64_t kStreamBytes = int64_t{8} << 20;

// Whether rows of `row` elements from p on are large and aligned enough for `write<true>`.
template <typename T>
inline bool streams(const T* p, int64_t elements, int64_t row) {
  return sizeof(T) == sizeof(float) && elements * int64_t{sizeof(T)} >= kStreamBytes &&
         row % kLanes == 0 && reinterpret_cast<uintptr_t>(p) % sizeof(vec) == 0;
}

template <bool kStream, typename T, typename Pack>
inline void write(T* p, Pack v) {
#if defined(__AVX512F__)
  if constexpr (kStream && Width<Pack>::value > 1 && sizeof(T) == sizeof(float))
    return _mm512_stream_ps(reinterpret_cast<float*>(p), reinterpret_cast<__m512>(v));
#elif defined(__AVX__)
  if constexpr (kStream && Width<Pack>::value > 1 && sizeof(T) == sizeof(float))
    return _mm256_stream_ps(reinterpret_cast<float*>(p), reinterpret_cast<__m256>(v));
#endif
  store(p, v);
}

// To be called by each thread after its last `write<true>`.
inline void finish_writes() {
#if defined(__AVX__)
  _mm_sfence();
#endif
}

// Calls body(offset, Pack()) for whole vectors, then for each element that is left.
template <typename Body>
inline void packs(int64_t length, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= length; i += kLanes) body(i, vec{});
  for (; i < length; ++i) body(i, 0.0f);
}

}  // namespace ganvas_vector
