// Lab 2: the product of two matrices, by a kernel of one's own and by cuBLAS, both checked.
//     python3 submit.py examples/labs/2-matmul/matmul.cu
// TL+ {"header_files": ["matrix.cuh"]}
// TL+ {"compile_flags": ["-lcublas"]}
// telerun: --with reference.cpp
#include <cublas_v2.h>

#include <cstdio>
#include <cstdlib>

#include "matrix.cuh"

#define CHECK(call)                                                                        \
    do {                                                                                   \
        int error_ = (int)(call);                                                          \
        if (error_ != 0) {                                                                 \
            printf("%s:%d: %s failed with error %d\n", __FILE__, __LINE__, #call, error_); \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

__global__ void multiply(const float *a, const float *b, float *c, int n) {
    int row = blockIdx.y * blockDim.y + threadIdx.y, column = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= n || column >= n) return;
    float sum = 0.0f;
    for (int k = 0; k < n; k++) sum += a[row * n + k] * b[k * n + column];
    c[row * n + column] = sum;
}

int main() {
    int devices = 0;
    cudaError_t error = cudaGetDeviceCount(&devices);
    if (error != cudaSuccess || devices == 0) {
        printf("SKIPPED: there is no GPU for this program here: %s.\n", cudaGetErrorString(error));
        return 0;
    }
    const int n = 192;
    Matrix a(n * n), b(n * n), mine(n * n), library(n * n);
    for (int i = 0; i < n * n; i++) {
        a[i] = (i % 7) - 3;
        b[i] = (i % 5) - 2;
    }
    size_t bytes = n * n * sizeof(float);
    float *da, *db, *dc;
    CHECK(cudaMalloc(&da, bytes));
    CHECK(cudaMalloc(&db, bytes));
    CHECK(cudaMalloc(&dc, bytes));
    CHECK(cudaMemcpy(da, a.data(), bytes, cudaMemcpyHostToDevice));
    CHECK(cudaMemcpy(db, b.data(), bytes, cudaMemcpyHostToDevice));

    dim3 threads(16, 16), blocks((n + 15) / 16, (n + 15) / 16);
    multiply<<<blocks, threads>>>(da, db, dc, n);
    CHECK(cudaGetLastError());
    CHECK(cudaMemcpy(mine.data(), dc, bytes, cudaMemcpyDeviceToHost));

    cublasHandle_t handle;
    const float one = 1.0f, zero = 0.0f;
    CHECK(cublasCreate(&handle));
    // cuBLAS counts by columns: B A of theirs is A B of ours.
    CHECK(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &one, db, n, da, n, &zero, dc, n));
    CHECK(cudaMemcpy(library.data(), dc, bytes, cudaMemcpyDeviceToHost));
    CHECK(cublasDestroy(handle));

    Matrix expected = reference(a, b, n);
    float by_kernel = distance(mine, expected), by_library = distance(library, expected);
    bool passed = by_kernel < 1e-2f && by_library < 1e-2f;
    printf("%s: off by %g (kernel) and %g (cuBLAS).\n", passed ? "PASSED" : "FAILED", by_kernel,
           by_library);
    return passed ? 0 : 1;
}
