#include <algorithm>
#include <cmath>

#include "matrix.cuh"

Matrix reference(const Matrix &a, const Matrix &b, int n) {
    Matrix c(n * n, 0.0f);
    for (int row = 0; row < n; row++)
        for (int k = 0; k < n; k++)
            for (int column = 0; column < n; column++)
                c[row * n + column] += a[row * n + k] * b[k * n + column];
    return c;
}

float distance(const Matrix &a, const Matrix &b) {
    float largest = 0.0f;
    for (size_t i = 0; i < a.size(); i++) largest = std::max(largest, std::fabs(a[i] - b[i]));
    return largest;
}
