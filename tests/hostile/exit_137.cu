// What a shell would say of SIGKILL.
// outcome: runtime_error
// exit_code: 137
int main() { return 137; }
