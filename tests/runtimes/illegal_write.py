"""A throw-away program that writes where it may not on the first GPU, which is an XID error; needs no CUDA toolkit."""

import ctypes
import sys

PTX = b"""
.version 6.0
.target sm_50
.address_size 64
.visible .entry write(.param .u64 where) {
  .reg .u64 %a;
  .reg .u32 %v;
  ld.param.u64 %a, [where];
  mov.u32 %v, 1;
  st.global.u32 [%a], %v;
  ret;
}
.visible .entry spin(.param .u64 where) {
  .reg .u64 %a;
  .reg .u32 %v;
  ld.param.u64 %a, [where];
again:
  ld.volatile.global.u32 %v, [%a];
  st.volatile.global.u32 [%a], %v;
  bra again;
}
"""
NOWHERE = 0xDEAD0000000
ILLEGAL = {700, 719}  # CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_LAUNCH_FAILED


class Cuda:
    """A context on the first GPU, with kernels that write one number. Raises OSError where CUDA refuses."""

    def __init__(self) -> None:
        self._cuda = ctypes.CDLL("libcuda.so.1")
        self._context, module, device = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_int()
        self._write, self._spin, self._memory = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_uint64()
        self._do("cuInit", 0)
        self._do("cuDeviceGet", ctypes.byref(device), 0)
        self._do("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)
        self._do("cuCtxSetCurrent", self._context)
        self._do("cuModuleLoadData", ctypes.byref(module), PTX)
        self._do("cuModuleGetFunction", ctypes.byref(self._write), module, b"write")
        self._do("cuModuleGetFunction", ctypes.byref(self._spin), module, b"spin")
        self._do("cuMemAlloc_v2", ctypes.byref(self._memory), ctypes.c_size_t(4))

    def _do(self, name: str, *arguments: object) -> None:
        code = getattr(self._cuda, name)(*arguments)
        if code:
            raise OSError(int(code), f"{name}: CUDA error {code}")

    def write(self, *, where: int | None = None) -> int:
        """Write once: 0, or CUDA's error. One illegal write, and the context never does anything again."""
        return self._run(self._write, self._memory.value if where is None else where)

    def spin(self) -> int:
        """Never return: a kernel without an end."""
        return self._run(self._spin, self._memory.value)

    def _run(self, kernel: ctypes.c_void_p, where: int) -> int:
        self._do("cuCtxSetCurrent", self._context)  # of this thread
        address = ctypes.c_uint64(where)
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(address))
        code = self._cuda.cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, None, arguments, None)
        return int(code or self._cuda.cuCtxSynchronize())


def main() -> int:
    """0 where the GPU refused the write."""
    cuda = Cuda()
    if cuda.write() != 0:
        return 1
    return 0 if cuda.write(where=NOWHERE) in ILLEGAL else 2


if __name__ == "__main__":
    sys.exit(main())
