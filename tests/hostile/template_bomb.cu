// outcome: memory_exceeded compile_timeout
template <int depth, int branch> struct Tree {
    typedef typename Tree<depth - 1, 2 * branch>::type left;
    typedef typename Tree<depth - 1, 2 * branch + 1>::type right;
    typedef int type;
};
template <int branch> struct Tree<0, branch> { typedef int type; };
int main() { return sizeof(Tree<28, 0>::type); }
