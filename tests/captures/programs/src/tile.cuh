#define TILE 32
static int unused_width = TILE;
