"""A throw-away program that writes where it may not on the first GPU, which is an XID error; needs no CUDA toolkit."""

import ctypes
import sys

PTX = b"""
.version 6.0
.target sm_50
.address_size 64
.visible .entry crash() {
  .reg .u64 %a;
  .reg .u32 %v;
  mov.u64 %a, 0xdead0000000;
  mov.u32 %v, 1;
  st.global.u32 [%a], %v;
  ret;
}
"""
ILLEGAL = {700, 719}  # CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_LAUNCH_FAILED


def main() -> int:
    """0 where the GPU refused the write."""
    cuda = ctypes.CDLL("libcuda.so.1")
    context, module, function, device = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_int()
    for code in (
        cuda.cuInit(0),
        cuda.cuDeviceGet(ctypes.byref(device), 0),
        cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device),
        cuda.cuCtxSetCurrent(context),
        cuda.cuModuleLoadData(ctypes.byref(module), PTX),
        cuda.cuModuleGetFunction(ctypes.byref(function), module, b"crash"),
        cuda.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, None, None, None),
    ):
        if code:
            return int(code)
    return 0 if cuda.cuCtxSynchronize() in ILLEGAL else 1


if __name__ == "__main__":
    sys.exit(main())
