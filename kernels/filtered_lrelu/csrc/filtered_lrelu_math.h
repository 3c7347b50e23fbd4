// What happens to one value between the filters; T is float or a vector of floats.
//
// The filters' taps carry the gain already. Comparisons are written so that a NaN stays one.
#pragma once

#ifdef __CUDACC__
#define GANVAS_BOTH __host__ __device__
#else
#define GANVAS_BOTH
#endif

namespace ganvas {
namespace flrelu {

// clamp(leaky_relu(v)); an infinite bound leaves everything.
template <class T>
GANVAS_BOTH inline T rectify(T v, T slope, T bound) {
  v = v > T{} ? v : v * slope;
  v = v < -bound ? -bound : v;
  return v > bound ? bound : v;
}

// Derivative of `rectify` at v, the factor of whatever is passed through in its place.
template <class T>
GANVAS_BOTH inline T rectify_slope(T v, T slope, T bound, T one) {
  const T s = v > T{} ? one : slope;
  const T y = v * s;
  return y <= bound ? (y >= -bound ? s : T{}) : T{};
}

GANVAS_BOTH inline int floor_div(int a, int b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// Taps of `total` that meet residue `first` of `step`.
GANVAS_BOTH inline int phase_count(int total, int first, int step) {
  return first < total ? (total - first + step - 1) / step : 0;
}

// First sample that reaches `position` of the up-sampled image: the smallest i with
// i up + pad >= position. All positions with the same one are a group.
GANVAS_BOTH inline int first_sample(int position, int pad, int up) {
  return floor_div(position - pad + up - 1, up);
}

}  // namespace flrelu
}  // namespace ganvas
