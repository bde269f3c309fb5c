// Draws the Mandelbrot set, one thread a pixel, into out/mandelbrot.ppm, which comes back with the result.
#include <cstdio>
#include <cstdlib>
#include <vector>

constexpr int WIDTH = 1200, HEIGHT = 800, MOST = 256;

#define CHECK(call)                                                                        \
    do {                                                                                   \
        cudaError_t error_ = (call);                                                       \
        if (error_ != cudaSuccess) {                                                       \
            printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(error_)); \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

// The steps after which z = z * z + c leaves a circle of radius 2; MOST if it stays.
__host__ __device__ int steps(int column, int row) {
    float x = -2.2f + 3.2f * column / WIDTH, y = -1.0f + 2.0f * row / HEIGHT, a = 0, b = 0;
    int n = 0;
    for (; n < MOST && a * a + b * b <= 4; n++) {
        float next = a * a - b * b + x;
        b = 2 * a * b + y;
        a = next;
    }
    return n;
}

__global__ void draw(unsigned char *pixels) {
    int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= WIDTH || row >= HEIGHT) return;
    int n = steps(column, row);
    unsigned char *pixel = pixels + 3 * (row * WIDTH + column);
    pixel[0] = n == MOST ? 0 : n * 7;
    pixel[1] = n == MOST ? 0 : n * 5;
    pixel[2] = n == MOST ? 0 : 80 + n * 3;
}

int main() {
    int devices = 0;
    cudaError_t error = cudaGetDeviceCount(&devices);
    if (error != cudaSuccess || devices == 0) {
        printf("SKIPPED: there is no GPU for this program here: %s.\n", cudaGetErrorString(error));
        return 0;
    }
    std::vector<unsigned char> pixels(3 * WIDTH * HEIGHT);
    unsigned char *on_gpu;
    CHECK(cudaMalloc(&on_gpu, pixels.size()));
    dim3 block(16, 16), grid((WIDTH + 15) / 16, (HEIGHT + 15) / 16);
    draw<<<grid, block>>>(on_gpu);
    CHECK(cudaGetLastError());
    CHECK(cudaMemcpy(pixels.data(), on_gpu, pixels.size(), cudaMemcpyDeviceToHost));
    CHECK(cudaFree(on_gpu));

    FILE *file = fopen("out/mandelbrot.ppm", "wb");
    if (!file) {
        perror("out/mandelbrot.ppm");
        return 1;
    }
    fprintf(file, "P6\n%d %d\n255\n", WIDTH, HEIGHT);
    bool written = fwrite(pixels.data(), 1, pixels.size(), file) == pixels.size();
    if (fclose(file) != 0 || !written) {
        perror("out/mandelbrot.ppm");
        return 1;
    }
    printf("Drew %d x %d pixels into out/mandelbrot.ppm.\n", WIDTH, HEIGHT);
}
