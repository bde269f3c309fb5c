// Adds two vectors on the GPU and checks every element of the sum.
//     python3 submit.py examples/vector_add.cu 1000000
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define CHECK(call)                                                                        \
    do {                                                                                   \
        cudaError_t error_ = (call);                                                       \
        if (error_ != cudaSuccess) {                                                       \
            printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(error_)); \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

__global__ void add(const float *a, const float *b, float *sum, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) sum[i] = a[i] + b[i];
}

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 1 << 20;
    if (n < 1) {
        printf("The number of elements must be 1 or more, not %s.\n", argv[1]);
        return 2;
    }
    int devices = 0;
    cudaError_t error = cudaGetDeviceCount(&devices);
    if (error != cudaSuccess || devices == 0) {
        printf("SKIPPED: there is no GPU for this program here: %s.\n", cudaGetErrorString(error));
        return 0;
    }

    std::vector<float> a(n), b(n), sum(n);
    for (int i = 0; i < n; i++) {
        a[i] = 0.5f * i;
        b[i] = 0.25f * (n - i);
    }
    size_t bytes = n * sizeof(float);
    float *da, *db, *dsum;
    CHECK(cudaMalloc(&da, bytes));
    CHECK(cudaMalloc(&db, bytes));
    CHECK(cudaMalloc(&dsum, bytes));
    CHECK(cudaMemcpy(da, a.data(), bytes, cudaMemcpyHostToDevice));
    CHECK(cudaMemcpy(db, b.data(), bytes, cudaMemcpyHostToDevice));
    add<<<(n + 255) / 256, 256>>>(da, db, dsum, n);
    CHECK(cudaGetLastError());
    CHECK(cudaMemcpy(sum.data(), dsum, bytes, cudaMemcpyDeviceToHost));
    CHECK(cudaFree(da));
    CHECK(cudaFree(db));
    CHECK(cudaFree(dsum));

    int wrong = 0;
    for (int i = 0; i < n; i++) wrong += sum[i] != a[i] + b[i];
    printf("%s: %d of %d sums are right.\n", wrong ? "FAILED" : "PASSED", n - wrong, n);
    return wrong ? 1 : 0;
}
