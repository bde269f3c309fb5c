// Names that lead elsewhere, speak to a terminal, or are no text.
// outcome: succeeded
// files: fine
// left_out: \x1b[2J\x1b]0;owned\x07, \n--- job 1 succeeded ---, ..\up, \u202egpj.exe, \xff\xfe, tab\t
#include <cstdio>
#include <fcntl.h>
#include <string>
#include <unistd.h>
int main() {
    for (const char *name : {"fine", "\033[2J\033]0;owned\007", "\n--- job 1 succeeded ---", "..\\up",
                             "\xe2\x80\xaegpj.exe", "\xff\xfe", "tab\t", "../above", "/tmp/run/out/../beside"})
        close(open((std::string("out/") + name).c_str(), O_CREAT, 0600));
}
