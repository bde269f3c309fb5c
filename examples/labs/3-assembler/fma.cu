// Lab 3: what does the compiler make of a * b + c? Look for FFMA, and for FMUL and FADD, in
// asm-sass.txt; each line says which line of this file it comes from.
//     python3 submit.py examples/labs/3-assembler/fma.cu
// telerun: --asm --flag=-lineinfo
#include <cstdio>

__global__ void fused(float *values, float a, float b) {
    values[threadIdx.x] = values[threadIdx.x] * a + b;
}

__global__ void apart(float *values, float a, float b) {
    values[threadIdx.x] = __fadd_rn(__fmul_rn(values[threadIdx.x], a), b);
}

int main() {
    float *values = nullptr;
    cudaError_t error = cudaMalloc(&values, 32 * sizeof(float));
    if (error != cudaSuccess) {
        printf("SKIPPED: there is no GPU for this program here: %s.\n", cudaGetErrorString(error));
        return 0;
    }
    cudaMemset(values, 0, 32 * sizeof(float));
    fused<<<1, 32>>>(values, 2.0f, 1.0f);
    apart<<<1, 32>>>(values, 2.0f, 1.0f);
    float result = 0.0f;
    cudaMemcpy(&result, values, sizeof(float), cudaMemcpyDeviceToHost);
    cudaFree(values);
    printf("%s: 2 (2 0 + 1) + 1 is %g.\n", result == 3.0f ? "PASSED" : "FAILED", result);
    return result == 3.0f ? 0 : 1;
}
