// What happens to one value between the filters; T is float or a vector of floats.
//
// The filters' taps carry the gain already. Comparisons are written so that a NaN stays one.
#pragma once

namespace ganvas {
namespace flrelu {

// clamp(leaky_relu(v)); an infinite bound leaves everything.
template <class T>
inline T rectify(T v, T slope, T bound) {
    v = v > T{} ? v : v * slope;
    v = v < -bound ? -bound : v;
    return v > bound ? bound : v;
}

// Derivative of `rectify` at v, the factor of whatever is passed through in its place.
template <class T>
inline T rectify_slope(T v, T slope, T bound, T one) {
    const T s = v > T{} ? one : slope;
    const T y = v * s;
    return y <= bound ? (y >= -bound ? s : T{}) : T{};
}

}  // namespace flrelu
}  // namespace ganvas
