// Element types of the CUDA kernels: how each is read into and written from its accumulator.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

// Numbers as the Python side passes them.
enum class DType : int { kFloat32 = 0, kFloat16 = 1, kBfloat16 = 2 };

template <typename T>
struct Element {
  using Acc = float;
  static __host__ __device__ float load(float value) { return value; }
  static __host__ __device__ float store(float value) { return value; }
};

template <>
struct Element<__half> {
  using Acc = float;
  static __host__ __device__ float load(__half value) { return __half2float(value); }
  static __host__ __device__ __half store(float value) { return __float2half_rn(value); }
};

template <>
struct Element<__nv_bfloat16> {
  using Acc = float;
  static __host__ __device__ float load(__nv_bfloat16 value) { return __bfloat162float(value); }
  static __host__ __device__ __nv_bfloat16 store(float value) { return __float2bfloat16_rn(value); }
};
