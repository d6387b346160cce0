/* Rules of chess over batches of packed positions (engines/planes.py says what the ten words are).

   Everything is seen from the side to move: for Black the board is turned upside down and the colours are exchanged,
   so that one's own pawns always walk up, as in the vocabulary of moves (engines/moves.py). The arrays are those of
   numpy, by the buffer protocol; nothing is allocated here. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t u64;

enum { PAWN, KNIGHT, BISHOP, ROOK, QUEEN, KING };
enum { WORDS = 10, PLANES = 40, MOST_MOVES = 4096 }; /* no two moves of a position have the same two squares */
enum { GOES_ON, CHECKMATE, STALEMATE, INSUFFICIENT, FIFTY_MOVES };

#define RANK_1 0xFFULL
#define RANK_2 0xFF00ULL
#define RANK_3 0xFF0000ULL
#define RANK_7 0xFF000000000000ULL
#define RANK_8 0xFF00000000000000ULL
#define FILE_A 0x0101010101010101ULL
#define FILE_H 0x8080808080808080ULL
#define DARK 0xAA55AA55AA55AA55ULL
#define BIT(square) (1ULL << (square))

static int first(u64 x) { return x ? __builtin_ctzll(x) : 0; } /* of none the first square: still a place in a table */
static int last(u64 x) { return x ? 63 - __builtin_clzll(x) : 0; }
static int count(u64 x) { return __builtin_popcountll(x); }

/* Tables: rays by direction (0-3 towards higher squares: N, E, NE, NW; 4-7 their opposites), leaps, lines between. */
static u64 RAYS[8][64], KNIGHT_LEAPS[64], KING_STEPS[64], BETWEEN[64][64], LINE[64][64];
static const int UP[8] = {1, 0, 1, 1, -1, 0, -1, -1}, RIGHT[8] = {0, 1, 1, -1, 0, -1, -1, 1};

/* Number of a move by from << 6 | to, and of under-promotions by piece, from file and to file; -1: none. */
static int16_t INDEX[4096], UNDER[3][8][8];
/* And back: from | to << 6 | piece of an under-promotion << 12. */
static uint16_t MOVES[4096];
static int vocabulary = 0;

/* The eight squares of a rank as floats. */
static float FLOATS[256][8];

static u64 leap(int square, int up, int right) {
    int rank = (square >> 3) + up, file = (square & 7) + right;
    return rank < 0 || rank > 7 || file < 0 || file > 7 ? 0 : BIT(rank * 8 + file);
}

static void make_tables(void) {
    for (int squares = 0; squares < 256; squares++)
        for (int file = 0; file < 8; file++) FLOATS[squares][file] = (float)(squares >> file & 1);
    for (int a = 0; a < 64; a++) {
        for (int way = 0; way < 8; way++) {
            u64 way_squares = 0, passed = 0;
            for (int by = 1; by < 8; by++) {
                u64 there = leap(a, UP[way] * by, RIGHT[way] * by);
                if (!there) break;
                BETWEEN[a][first(there)] = passed;
                passed |= there;
                way_squares |= there;
            }
            RAYS[way][a] = way_squares;
        }
        for (int up = -2; up <= 2; up++)
            for (int right = -2; right <= 2; right++) {
                if (up * up + right * right == 5) KNIGHT_LEAPS[a] |= leap(a, up, right);
                if ((up || right) && up * up <= 1 && right * right <= 1) KING_STEPS[a] |= leap(a, up, right);
            }
    }
    for (int a = 0; a < 64; a++)
        for (int way = 0; way < 4; way++) {
            u64 whole = RAYS[way][a] | RAYS[way + 4][a] | BIT(a);
            for (u64 rest = whole & ~BIT(a); rest; rest &= rest - 1) LINE[a][first(rest)] = whole;
        }
}

static u64 ray(int way, int square, u64 occupied) {
    u64 squares = RAYS[way][square], blockers = squares & occupied;
    if (blockers) squares ^= RAYS[way][way < 4 ? first(blockers) : last(blockers)];
    return squares;
}

/* Ways 0, 1, 4, 5 are a rook's, the others a bishop's. Way 3 (NW) leads to higher squares, 7 (SE) to lower ones. */
static u64 rook_attacks(int s, u64 o) { return ray(0, s, o) | ray(1, s, o) | ray(4, s, o) | ray(5, s, o); }
static u64 bishop_attacks(int s, u64 o) { return ray(2, s, o) | ray(3, s, o) | ray(6, s, o) | ray(7, s, o); }
static u64 pawns_up(u64 pawns) { return (pawns & ~FILE_H) << 9 | (pawns & ~FILE_A) << 7; }
static u64 pawns_down(u64 pawns) { return (pawns & ~FILE_H) >> 7 | (pawns & ~FILE_A) >> 9; }

/* A position from the side to move's view. `pieces[1]` is the opponent's. */
typedef struct {
    u64 pieces[2][6], side[2], occupied, castling;
    int en_passant, clock, white;
} Position;

static u64 turned(u64 x, int white) { return white ? x : __builtin_bswap64(x); }

static void load(const u64 *words, Position *p) {
    p->white = words[9] & 1;
    int own = p->white ? 6 : 7;
    p->side[0] = turned(words[own], p->white);
    p->side[1] = turned(words[13 - own], p->white);
    for (int kind = 0; kind < 6; kind++) {
        u64 both = turned(words[kind], p->white);
        p->pieces[0][kind] = both & p->side[0];
        p->pieces[1][kind] = both & p->side[1];
    }
    p->occupied = p->side[0] | p->side[1];
    p->castling = turned(words[8], p->white);
    p->clock = words[9] >> 8 & 65535;
    int square = (int)(words[9] >> 1 & 127) - 1;
    p->en_passant = square < 0 || square > 63 ? -1 : p->white ? square : square ^ 56;
}

static void store(const Position *p, u64 *words) {
    int own = p->white ? 6 : 7;
    for (int kind = 0; kind < 6; kind++) words[kind] = turned(p->pieces[0][kind] | p->pieces[1][kind], p->white);
    words[own] = turned(p->side[0], p->white);
    words[13 - own] = turned(p->side[1], p->white);
    words[8] = turned(p->castling, p->white);
    int square = p->en_passant < 0 ? 0 : (p->white ? p->en_passant : p->en_passant ^ 56) + 1;
    words[9] = (u64)p->white | (u64)square << 1 | (u64)p->clock << 8;
}

/* Squares from which the opponent attacks one, with a given occupation. */
static u64 attackers(const Position *p, int square, u64 occupied) {
    const u64 *theirs = p->pieces[1];
    return (pawns_up(BIT(square)) & theirs[PAWN]) | (KNIGHT_LEAPS[square] & theirs[KNIGHT]) |
           (KING_STEPS[square] & theirs[KING]) |
           (rook_attacks(square, occupied) & (theirs[ROOK] | theirs[QUEEN])) |
           (bishop_attacks(square, occupied) & (theirs[BISHOP] | theirs[QUEEN]));
}

/* Squares that the opponent attacks, seen through the own king. */
static u64 attacked(const Position *p) {
    const u64 *theirs = p->pieces[1];
    u64 occupied = p->occupied & ~p->pieces[0][KING], found = pawns_down(theirs[PAWN]);
    for (u64 x = theirs[KNIGHT]; x; x &= x - 1) found |= KNIGHT_LEAPS[first(x)];
    for (u64 x = theirs[KING]; x; x &= x - 1) found |= KING_STEPS[first(x)];
    for (u64 x = theirs[ROOK] | theirs[QUEEN]; x; x &= x - 1) found |= rook_attacks(first(x), occupied);
    for (u64 x = theirs[BISHOP] | theirs[QUEEN]; x; x &= x - 1) found |= bishop_attacks(first(x), occupied);
    return found;
}

/* Whether a capture in passing leaves the own king safe. */
static int may_pass(const Position *p, int from) {
    int king = first(p->pieces[0][KING]);
    u64 taken = BIT(p->en_passant - 8), occupied = (p->occupied & ~taken & ~BIT(from)) | BIT(p->en_passant);
    return !(attackers(p, king, occupied) & ~taken);
}

static int passing_pawns(const Position *p, int *from) { /* own pawns that may capture in passing */
    int found = 0;
    if (p->en_passant < 8 || BIT(p->en_passant) & p->occupied || !(BIT(p->en_passant - 8) & p->pieces[1][PAWN])) return 0;
    for (u64 x = pawns_down(BIT(p->en_passant)) & p->pieces[0][PAWN]; x; x &= x - 1)
        if (may_pass(p, first(x))) from[found++] = first(x);
    return found;
}

/* Numbers of the legal moves in rising order; how many. `check`: whether the own king is attacked. */
static int legal_moves(const Position *p, int16_t *out, int *check) {
    const u64 *own = p->pieces[0], *theirs = p->pieces[1];
    int king = first(own[KING]), n = 0, passing[2], passers = passing_pawns(p, passing);
    u64 danger = attacked(p), checkers = BIT(king) & danger ? attackers(p, king, p->occupied) : 0, targets = ~p->side[0];
    u64 promoting[8] = {0};
    *check = checkers != 0;
    if (checkers) targets &= checkers & (checkers - 1) ? 0 : checkers | BETWEEN[king][first(checkers)];

    u64 pinned = 0;
    u64 snipers = (rook_attacks(king, p->side[1]) & (theirs[ROOK] | theirs[QUEEN])) |
                  (bishop_attacks(king, p->side[1]) & (theirs[BISHOP] | theirs[QUEEN]));
    for (; snipers; snipers &= snipers - 1) {
        u64 shield = BETWEEN[king][first(snipers)] & p->occupied;
        if (shield && !(shield & (shield - 1))) pinned |= shield & p->side[0];
    }

    for (u64 rest = p->side[0]; rest; rest &= rest - 1) {
        int from = first(rest);
        u64 bit = BIT(from), to;
        if (bit & own[PAWN]) {
            u64 step = bit << 8 & ~p->occupied;
            to = (pawns_up(bit) & p->side[1]) | step | ((step & RANK_3) << 8 & ~p->occupied);
            to &= targets;
            if (bit & pinned) to &= LINE[king][from];
            for (int i = 0; i < passers; i++)
                if (passing[i] == from) to |= BIT(p->en_passant);
            if (to & RANK_8) promoting[from & 7] = to;
        } else if (bit & own[KING]) {
            to = KING_STEPS[from] & ~p->side[0] & ~danger;
            if (from == 4 && !checkers) {
                u64 rooks = p->castling & own[ROOK] & RANK_1;
                if (rooks & BIT(0) && !(p->occupied & 0x0EULL) && !(danger & 0x0CULL)) to |= BIT(2);
                if (rooks & BIT(7) && !(p->occupied & 0x60ULL) && !(danger & 0x60ULL)) to |= BIT(6);
            }
        } else {
            to = 0;
            if (bit & own[KNIGHT]) to = KNIGHT_LEAPS[from];
            if (bit & (own[ROOK] | own[QUEEN])) to |= rook_attacks(from, p->occupied);
            if (bit & (own[BISHOP] | own[QUEEN])) to |= bishop_attacks(from, p->occupied);
            to &= targets;
            if (bit & pinned) to &= LINE[king][from];
        }
        for (; to; to &= to - 1) out[n++] = INDEX[from << 6 | first(to)];
    }
    for (int file = 0; file < 8; file++)
        for (u64 to = promoting[file]; to; to &= to - 1)
            for (int piece = 0; piece < 3; piece++) out[n++] = UNDER[piece][file][first(to) & 7];
    return n;
}

static void put(Position *p, int side, int kind, u64 bit) {
    p->pieces[side][kind] |= bit;
    p->side[side] |= bit;
}

static void take(Position *p, int side, u64 bit) {
    for (int kind = 0; kind < 6; kind++) p->pieces[side][kind] &= ~bit;
    p->side[side] &= ~bit;
}

/* Play a legal move, and turn the board round. Whether it can't be taken back by any other (a capture or a pawn's). */
static int play(Position *p, int number) {
    int from = MOVES[number] & 63, to = MOVES[number] >> 6 & 63, under = MOVES[number] >> 12, kind = PAWN;
    u64 start = BIT(from), end = BIT(to);
    while (kind < KING && !(p->pieces[0][kind] & start)) kind++;
    int zeroing = kind == PAWN || end & p->side[1];
    p->castling &= ~start & ~end;
    take(p, 0, start);
    if (end & p->side[1]) take(p, 1, end);
    if (kind == PAWN && to == p->en_passant && (from & 7) != (to & 7)) take(p, 1, end >> 8);
    if (kind == KING) {
        p->castling &= ~RANK_1;
        if (to - from == 2 || from - to == 2) { /* only castling takes a king so far */
            take(p, 0, to > from ? BIT(7) : BIT(0));
            put(p, 0, ROOK, to > from ? BIT(5) : BIT(3));
        }
    }
    put(p, 0, kind == PAWN && to > 55 ? (under ? under - 1 : QUEEN) : kind, end);
    p->en_passant = kind == PAWN && to - from == 16 ? from + 8 : -1;
    if (zeroing) p->clock = 0;
    else if (p->clock < 65535) p->clock++;

    Position q = *p;
    for (int side = 0; side < 2; side++) {
        for (kind = 0; kind < 6; kind++) p->pieces[side][kind] = __builtin_bswap64(q.pieces[1 - side][kind]);
        p->side[side] = __builtin_bswap64(q.side[1 - side]);
    }
    p->occupied = p->side[0] | p->side[1];
    p->castling = __builtin_bswap64(q.castling);
    p->en_passant = q.en_passant < 0 ? -1 : q.en_passant ^ 56;
    p->white = !q.white;
    return zeroing;
}

static int cannot_mate(const Position *p, int side) {
    const u64 *own = p->pieces[side], *other = p->pieces[1 - side];
    u64 bishops = own[BISHOP] | other[BISHOP];
    if (own[PAWN] | own[ROOK] | own[QUEEN]) return 0;
    if (own[KNIGHT]) return count(p->side[side]) <= 2 && !(p->side[1 - side] & ~other[KING] & ~other[QUEEN]);
    if (own[BISHOP])
        return (!(bishops & DARK) || !(bishops & ~DARK)) && !(own[PAWN] | other[PAWN] | own[KNIGHT] | other[KNIGHT]);
    return 1;
}

/* How a game ends here that has n legal moves, without what only its past can tell. */
static int ending(const Position *p, int n, int check) {
    if (!n) return check ? CHECKMATE : STALEMATE;
    if (cannot_mate(p, 0) && cannot_mate(p, 1)) return INSUFFICIENT;
    return p->clock >= 100 ? FIFTY_MOVES : GOES_ON;
}

/* What a repetition compares: the position, its clock left out and the en-passant square where no capture is legal. */
static void identity(const Position *p, u64 *words) {
    int from[2];
    Position q = *p;
    q.clock = 0;
    if (!passing_pawns(p, from)) q.en_passant = -1;
    store(&q, words);
}

/* The bit planes, as engines/planes.py defines them. */
static void bit_planes(const Position *p, u64 *out) {
    u64 twice[2] = {0, 0}, pinned[2] = {0, 0}, checks[2][4];
    for (int side = 0; side < 2; side++) {
        u64 once = 0, by[6] = {0};
        const u64 *own = p->pieces[side], *other = p->pieces[1 - side];
        u64 one = side ? (own[PAWN] & ~FILE_H) >> 7 : (own[PAWN] & ~FILE_H) << 9;
        u64 two = side ? (own[PAWN] & ~FILE_A) >> 9 : (own[PAWN] & ~FILE_A) << 7;
        by[PAWN] = one | two;
        twice[side] = one & two;
        once = by[PAWN];
        for (int kind = KNIGHT; kind <= KING; kind++)
            for (u64 x = own[kind]; x; x &= x - 1) {
                int s = first(x);
                u64 hit = kind == KNIGHT ? KNIGHT_LEAPS[s] : kind == KING ? KING_STEPS[s] : 0;
                if (kind == BISHOP || kind == QUEEN) hit |= bishop_attacks(s, p->occupied);
                if (kind == ROOK || kind == QUEEN) hit |= rook_attacks(s, p->occupied);
                by[kind] |= hit;
                twice[side] |= once & hit;
                once |= hit;
            }
        for (int kind = 0; kind < 6; kind++) {
            out[side * 6 + kind] = own[kind];
            out[16 + side * 6 + kind] = by[kind];
        }
        int king = first(own[KING]);
        for (int way = 0; way < 8; way++) {
            int straight = way == 0 || way == 1 || way == 4 || way == 5;
            u64 shield = ray(way, king, p->occupied) & p->side[side];
            if (!shield) continue;
            u64 behind = ray(way, first(shield), p->occupied) & (other[straight ? ROOK : BISHOP] | other[QUEEN]);
            if (behind) pinned[side] |= shield;
        }
        checks[side][0] = side ? pawns_down(own[KING]) : pawns_up(own[KING]);
        checks[side][1] = KNIGHT_LEAPS[king];
        checks[side][2] = bishop_attacks(king, p->occupied);
        checks[side][3] = rook_attacks(king, p->occupied);
    }
    out[12] = p->castling;
    out[13] = p->en_passant < 0 ? 0 : BIT(p->en_passant);
    out[14] = out[15] = 0;
    for (int side = 0; side < 2; side++) {
        out[28 + side] = twice[side];
        out[30 + side] = pinned[side];
        for (int kind = 0; kind < 4; kind++) out[32 + 4 * (1 - side) + kind] = 0;
    }
    for (int kind = 0; kind < 4; kind++) {
        out[32 + kind] = checks[1][kind];
        out[36 + kind] = checks[0][kind];
    }
}

/* Between Python and the above. */

typedef struct {
    Py_buffer view;
    int held;
} Array;

static int hold(PyObject *object, Array *array, Py_ssize_t bytes, int writable, const char *name) {
    if (PyObject_GetBuffer(object, &array->view, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE)) return 0;
    array->held = 1;
    if (bytes >= 0 && array->view.len < bytes) {
        PyErr_Format(PyExc_ValueError, "%s: expected at least %zd bytes, got %zd", name, bytes, array->view.len);
        return 0;
    }
    return 1;
}

static void release(Array *arrays, int n) {
    for (int i = 0; i < n; i++)
        if (arrays[i].held) PyBuffer_Release(&arrays[i].view);
}

/* Positions and, beside each, so many bytes of another array; how many positions, −1 for an error. */
static Py_ssize_t hold_both(PyObject *args, Array *arrays, Py_ssize_t bytes, int writable, const char *name) {
    PyObject *packed, *other;
    if (!PyArg_ParseTuple(args, "OO", &packed, &other) || !hold(packed, &arrays[0], -1, 0, "packed")) return -1;
    Py_ssize_t rows = arrays[0].view.len / (8 * WORDS);
    return hold(other, &arrays[1], rows * bytes, writable, name) ? rows : -1;
}

static int ready(void) {
    if (!vocabulary) PyErr_SetString(PyExc_RuntimeError, "the vocabulary of moves is not set");
    return vocabulary;
}

static PyObject *set_vocabulary(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *objects[1];
    Array arrays[1] = {{.held = 0}};
    if (!PyArg_ParseTuple(args, "O", &objects[0])) return NULL;
    if (!hold(objects[0], &arrays[0], 2, 0, "moves")) { release(arrays, 1); return NULL; }
    Py_ssize_t n = arrays[0].view.len / 2;
    if (n > 4096) {
        release(arrays, 1);
        return PyErr_Format(PyExc_ValueError, "expected at most 4096 moves, got %zd", n);
    }
    memcpy(MOVES, arrays[0].view.buf, (size_t)n * 2);
    release(arrays, 1);
    memset(INDEX, -1, sizeof INDEX);
    memset(UNDER, -1, sizeof UNDER);
    for (int i = 0; i < (int)n; i++) {
        int from = MOVES[i] & 63, to = MOVES[i] >> 6 & 63, under = MOVES[i] >> 12;
        if (under) UNDER[under - 2][from & 7][to & 7] = (int16_t)i;
        else INDEX[from << 6 | to] = (int16_t)i;
    }
    vocabulary = (int)n;
    Py_RETURN_NONE;
}

/* legal(packed, numbers, starts, ends) -> total */
static PyObject *legal(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *objects[4];
    Array arrays[4] = {{.held = 0}};
    if (!ready() || !PyArg_ParseTuple(args, "OOOO", &objects[0], &objects[1], &objects[2], &objects[3])) return NULL;
    if (!hold(objects[0], &arrays[0], -1, 0, "packed")) goto failed;
    Py_ssize_t rows = arrays[0].view.len / (8 * WORDS);
    if (!hold(objects[1], &arrays[1], -1, 1, "numbers") ||
        !hold(objects[2], &arrays[2], (rows + 1) * 8, 1, "starts") || !hold(objects[3], &arrays[3], rows, 1, "ends"))
        goto failed;
    const u64 *packed = arrays[0].view.buf;
    int16_t *numbers = arrays[1].view.buf;
    int64_t *starts = arrays[2].view.buf, total = 0, room = arrays[1].view.len / 2;
    int8_t *ends = arrays[3].view.buf;
    Py_BEGIN_ALLOW_THREADS
    starts[0] = 0;
    for (Py_ssize_t row = 0; row < rows; row++) {
        Position p;
        int16_t found[MOST_MOVES];
        int check = 0;
        load(packed + row * WORDS, &p);
        int n = p.pieces[0][KING] && p.pieces[1][KING] ? legal_moves(&p, found, &check) : 0;
        if (total + n <= room) memcpy(numbers + total, found, (size_t)n * 2);
        ends[row] = (int8_t)ending(&p, n, check);
        starts[row + 1] = total += n;
    }
    Py_END_ALLOW_THREADS
    release(arrays, 4);
    if (total > room) return PyErr_Format(PyExc_ValueError, "room for %lld moves, there are %lld", (long long)room, (long long)total);
    return PyLong_FromLongLong(total);
failed:
    release(arrays, 4);
    return NULL;
}

/* apply(packed, chosen, after, zeroing): `chosen` int64; legality is up to the caller. */
static PyObject *apply(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *objects[4];
    Array arrays[4] = {{.held = 0}};
    if (!ready() || !PyArg_ParseTuple(args, "OOOO", &objects[0], &objects[1], &objects[2], &objects[3])) return NULL;
    if (!hold(objects[0], &arrays[0], -1, 0, "packed")) goto failed;
    Py_ssize_t rows = arrays[0].view.len / (8 * WORDS);
    if (!hold(objects[1], &arrays[1], rows * 8, 0, "chosen") || !hold(objects[2], &arrays[2], rows * 8 * WORDS, 1, "after") ||
        !hold(objects[3], &arrays[3], rows, 1, "zeroing"))
        goto failed;
    const u64 *packed = arrays[0].view.buf;
    const int64_t *chosen = arrays[1].view.buf;
    u64 *after = arrays[2].view.buf;
    int8_t *zeroing = arrays[3].view.buf;
    for (Py_ssize_t row = 0; row < rows; row++)
        if (chosen[row] < 0 || chosen[row] >= vocabulary) {
            PyErr_Format(PyExc_ValueError, "expected numbers of moves, got %lld", (long long)chosen[row]);
            goto failed;
        }
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t row = 0; row < rows; row++) {
        Position p;
        load(packed + row * WORDS, &p);
        zeroing[row] = (int8_t)(play(&p, (int)chosen[row]) != 0);
        store(&p, after + row * WORDS);
    }
    Py_END_ALLOW_THREADS
    release(arrays, 4);
    Py_RETURN_NONE;
failed:
    release(arrays, 4);
    return NULL;
}

/* identities(packed, out): what a repetition compares. */
static PyObject *identities(PyObject *self, PyObject *args) {
    (void)self;
    Array arrays[2] = {{.held = 0}};
    Py_ssize_t rows = hold_both(args, arrays, 8 * WORDS, 1, "identities");
    if (rows < 0) {
        release(arrays, 2);
        return NULL;
    }
    const u64 *packed = arrays[0].view.buf;
    u64 *out = arrays[1].view.buf;
    for (Py_ssize_t row = 0; row < rows; row++) {
        Position p;
        load(packed + row * WORDS, &p);
        identity(&p, out + row * WORDS);
    }
    release(arrays, 2);
    Py_RETURN_NONE;
}

/* planes(packed, out): `out` float32 [B, PLANES, 64]. */
static PyObject *planes(PyObject *self, PyObject *args) {
    (void)self;
    Array arrays[2] = {{.held = 0}};
    Py_ssize_t rows = hold_both(args, arrays, PLANES * 64 * 4, 1, "planes");
    if (rows < 0) {
        release(arrays, 2);
        return NULL;
    }
    const u64 *packed = arrays[0].view.buf;
    float *out = arrays[1].view.buf;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t row = 0; row < rows; row++) {
        Position p;
        u64 bits[PLANES];
        load(packed + row * WORDS, &p);
        bit_planes(&p, bits);
        float clock = (float)p.clock / 100.0f;
        for (int plane = 0; plane < PLANES; plane++, out += 64) {
            if (plane == 14 || plane == 15) {
                for (int square = 0; square < 64; square++) out[square] = plane == 15 ? 1.0f : clock;
                continue;
            }
            u64 x = bits[plane];
            for (int rank = 0; rank < 8; rank++) memcpy(out + 8 * rank, FLOATS[x >> 8 * rank & 255], sizeof FLOATS[0]);
        }
    }
    Py_END_ALLOW_THREADS
    release(arrays, 2);
    Py_RETURN_NONE;
}

static char *number_to(char *out, long long number) {
    char digits[24];
    int n = 0;
    do digits[n++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (n) *out++ = digits[--n];
    return out;
}

/* FEN of a position: its en-passant square even where no capture is possible. At most 100 characters. */
static void fen_of(const u64 *words, long long move, char *out) {
    static const char LETTERS[] = "PNBRQKpnbrqk", RIGHTS[] = "KQkq";
    static const int ROOKS[] = {7, 0, 63, 56};
    for (int rank = 7; rank >= 0; rank--) {
        int empty = 0;
        for (int file = 0; file < 8; file++) {
            u64 bit = BIT(8 * rank + file);
            int kind = 0;
            if (!((words[6] | words[7]) & bit)) {
                empty++;
                continue;
            }
            while (kind < KING && !(words[kind] & bit)) kind++;
            if (empty) *out++ = (char)('0' + empty);
            empty = 0;
            *out++ = LETTERS[kind + (words[7] & bit ? 6 : 0)];
        }
        if (empty) *out++ = (char)('0' + empty);
        *out++ = rank ? '/' : ' ';
    }
    *out++ = words[9] & 1 ? 'w' : 'b';
    *out++ = ' ';
    char *start = out;
    for (int right = 0; right < 4; right++) {
        int side = right < 2 ? 6 : 7;
        u64 king = BIT(right < 2 ? 4 : 60) & words[KING] & words[side];
        if (king && BIT(ROOKS[right]) & words[8] & words[ROOK] & words[side]) *out++ = RIGHTS[right];
    }
    if (out == start) *out++ = '-';
    *out++ = ' ';
    int square = (int)(words[9] >> 1 & 127) - 1;
    if (square < 0) *out++ = '-';
    else {
        *out++ = (char)('a' + (square & 7));
        *out++ = (char)('1' + (square >> 3));
    }
    *out++ = ' ';
    out = number_to(out, (long long)(words[9] >> 8 & 65535));
    *out++ = ' ';
    *number_to(out, move) = 0;
}

/* fens(packed, moves) -> list of str: `moves` int64, the number of each position's move. */
static PyObject *fens(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *objects[2], *list = NULL;
    Array arrays[2] = {{.held = 0}};
    if (!PyArg_ParseTuple(args, "OO", &objects[0], &objects[1])) return NULL;
    if (!hold(objects[0], &arrays[0], -1, 0, "packed")) goto done;
    Py_ssize_t rows = arrays[0].view.len / (8 * WORDS);
    if (!hold(objects[1], &arrays[1], rows * 8, 0, "moves") || !(list = PyList_New(rows))) goto done;
    for (Py_ssize_t row = 0; row < rows; row++) {
        char text[160];
        fen_of((const u64 *)arrays[0].view.buf + row * WORDS, ((const int64_t *)arrays[1].view.buf)[row], text);
        PyObject *fen = PyUnicode_FromString(text);
        if (!fen || PyList_SetItem(list, row, fen)) {
            Py_CLEAR(list);
            goto done;
        }
    }
done:
    release(arrays, 2);
    return list;
}

static PyMethodDef METHODS[] = {
    {"set_vocabulary", set_vocabulary, METH_VARARGS, "Take the moves: uint16 from | to << 6 | under-promotion << 12."},
    {"legal", legal, METH_VARARGS, "Legal moves of packed positions into numbers, starts and ends."},
    {"apply", apply, METH_VARARGS, "Positions after one legal move each."},
    {"identities", identities, METH_VARARGS, "What a repetition compares of packed positions."},
    {"planes", planes, METH_VARARGS, "The planes of packed positions."},
    {"fens", fens, METH_VARARGS, "FEN of packed positions."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_rules", NULL, -1, METHODS, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__rules(void) {
    make_tables();
    return PyModule_Create(&MODULE);
}
