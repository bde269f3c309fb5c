#include <stdio.h>

enum { OK = 0, NO_DEVICE = 100 };

static int none(void) {
    static int told;
    if (!told++) fputs("This host has no NVIDIA driver: calls of the driver API fail.\n", stderr);
    return NO_DEVICE;
}

int cuGetErrorName(int error, const char **text) {
    *text = error == OK ? "CUDA_SUCCESS" : error == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_UNKNOWN";
    return OK;
}

int cuGetErrorString(int error, const char **text) {
    *text = error == OK ? "no error" : error == NO_DEVICE ? "no CUDA-capable device is detected" : "unknown error";
    return OK;
}

int cuDeviceGetCount(int *count) {
    *count = 0;
    return none();
}

int cuDriverGetVersion(int *version) {
    *version = 0;
    return none();
}

/* An alias of none() for every other function follows. */
