// Element maths of bias_act for piecewise linear activations, on one float or a vector of them.
#pragma once

#include "../../common/csrc/vector.h"

namespace ganvas_bias_act {

using ganvas_vector::splat;

struct Slopes {
  float positive;  // gain
  float negative;  // gain * alpha; 0 is a relu, which takes -inf to 0 and not to NaN
  float bound;     // of the result's absolute value; infinity bounds nothing
};

template <typename Pack>
inline Pack activate(Pack z, const Slopes& s) {
  const Pack zero = splat<Pack>(0.0f), bound = splat<Pack>(s.bound);
  Pack low = s.negative == 0.0f ? (z < zero ? zero : z) : z * s.negative;
  Pack y = z > zero ? z * s.positive : low;
  y = y > bound ? bound : y;
  return y < -bound ? -bound : y;
}

// Gradient of z from that of y = activate(z). It passes all below an infinite bound, infinity too.
template <typename Pack>
inline Pack differentiate(Pack dy, Pack y, const Slopes& s) {
  const Pack zero = splat<Pack>(0.0f), bound = splat<Pack>(s.bound);
  Pack dz = dy * (y > zero ? splat<Pack>(s.positive) : splat<Pack>(s.negative));
  if (s.bound == __builtin_inff()) return dz;
  return y < bound ? (y > -bound ? dz : zero) : zero;
}

}  // namespace ganvas_bias_act
