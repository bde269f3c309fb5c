// Work on a stream is captured as a graph, which is launched a hundred times.
// outcome: succeeded
// says: a graph ran 100 times
#include "check.h"
__global__ void add_one(int *at) { at[threadIdx.x]++; }
int main() {
    const int n = 256, kernels = 10, times = 100;
    int wrong = 0, *on_gpu, *back;
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t launchable;
    TRY(cudaMalloc(&on_gpu, n * sizeof(int)));
    TRY(cudaMemset(on_gpu, 0, n * sizeof(int)));
    TRY(cudaHostAlloc((void **)&back, n * sizeof(int), cudaHostAllocDefault));
    TRY(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    TRY(cudaDeviceSynchronize());
    TRY(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    for (int k = 0; k < kernels; k++) add_one<<<1, n, 0, stream>>>(on_gpu);
    TRY(cudaMemcpyAsync(back, on_gpu, n * sizeof(int), cudaMemcpyDeviceToHost, stream));
    TRY(cudaStreamEndCapture(stream, &graph));
    TRY(cudaGraphInstantiateWithFlags(&launchable, graph, 0));  // has one form in CUDA 11, 12 and 13
    for (int t = 0; t < times; t++) TRY(cudaGraphLaunch(launchable, stream));
    TRY(cudaStreamSynchronize(stream));
    for (int i = 0; i < n; i++) wrong += back[i] != kernels * times;
    if (wrong) { printf("%d of %d numbers are wrong: %d instead of %d\n", wrong, n, back[0], kernels * times); return 1; }
    TRY(cudaGraphExecDestroy(launchable));
    TRY(cudaGraphDestroy(graph));
    return report("a graph ran 100 times");
}
