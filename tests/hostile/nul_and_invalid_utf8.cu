// outcome: succeeded
// log: 'a\x00b\udcff\udcfe\udced\udca0\udc80\udcf4\udc90\udc80\udc80\n\udcc3\x00'
#include <cstdio>
int main() { fwrite("a\0b\xff\xfe\xed\xa0\x80\xf4\x90\x80\x80\n\0", 1, 14, stdout); fwrite("\xc3", 1, 1, stderr); }
