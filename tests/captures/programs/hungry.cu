#include <cstdio>
#include <vector>

int main() {
    printf("loading the volume\n");
    std::vector<std::vector<char>> all;
    for (;;) all.emplace_back(16 << 20, 'x');
}
