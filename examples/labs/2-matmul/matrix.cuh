// What the kernel, its reference and the library have in common: square matrices, row by row.
#pragma once
#include <vector>

using Matrix = std::vector<float>;

// The product on the CPU (reference.cpp).
Matrix reference(const Matrix &a, const Matrix &b, int n);

// The largest difference of two matrices (reference.cpp).
float distance(const Matrix &a, const Matrix &b);
