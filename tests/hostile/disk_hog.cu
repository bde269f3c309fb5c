// outcome: succeeded
// says: /tmp is full below 100 MiB, /dev/shm is full below 100 MiB, / is closed, /usr is closed
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <unistd.h>
static void fill(const char *folder) {
    static char block[1 << 20];
    long long size = 0, before = -1;
    for (int number = 0; number < 200 && size > before; number++) {
        int file = open((folder + std::string("/hog") + std::to_string(number)).c_str(), O_CREAT | O_WRONLY, 0600);
        if (file < 0) break;
        before = size;
        for (ssize_t n, of_it = 0; of_it < (16 << 20) && (n = write(file, block, sizeof block)) > 0; of_it += n) size += n;
        close(file);
    }
    printf("%s is %s\n", folder, size == 0 ? "closed" : size < (100 << 20) ? "full below 100 MiB" : "large");
}
int main() { for (const char *folder : {"/tmp", "/dev/shm", "/", "/usr", "/job", "/dev"}) fill(folder); }
