/* stamp - draws a number into every frame, and reads it back after any number of encoders.
 *
 *   stamp write --size 1280x720 --fps 30000/1001 --frames 900 [--pace] > raw yuv420p
 *   stamp read --size 640x360 < raw gray        one line a frame: "NUMBER WALL_MS", or "- -" if unreadable
 *
 * Two rows of black and white blocks at the top of the picture: the first holds the frame's number, the second the wall
 * clock in ms modulo 2^24 at which it was made. A row is WHITE BLACK, 24 bits from the highest, 6 bits of check sum, BLACK
 * WHITE. A block is 1/34 of the width, so it is 12 pixels wide in the smallest rung and survives every quantiser.
 * Below is a moving texture, so that encoders have work; it is white for one frame in each second (A/V sync). */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/mem.h"

#define VALUE_BITS 24
#define CHECK_BITS 6
#define BLOCKS (2 + VALUE_BITS + CHECK_BITS + 2)
#define VALUE_MASK ((1u << VALUE_BITS) - 1)
#define WHITE 235
#define BLACK 16

struct options {
        int width, height;
        int64_t fps_num, fps_den;
        int64_t frames;
        bool pace;
};

static unsigned check_sum(uint32_t value)
{
        unsigned sum = 0x2a;
        for (; value; value >>= CHECK_BITS)
                sum = (sum * 5 + (value & 63)) & 63;
        return sum;
}

static uint64_t row_bits(uint32_t value)
{
        value &= VALUE_MASK;
        uint64_t bits = 2; /* WHITE BLACK */
        bits = bits << VALUE_BITS | value;
        bits = bits << CHECK_BITS | check_sum(value);
        return bits << 2 | 1; /* BLACK WHITE */
}

static int row_height(const struct options *o)
{
        return o->height / 15;
}

static int block_edge(const struct options *o, int block)
{
        return (int)((int64_t)o->width * block / BLOCKS);
}

static void draw_row(const struct options *o, uint8_t *luma, int row, uint32_t value)
{
        uint64_t bits = row_bits(value);
        uint8_t *first = luma + (size_t)row * row_height(o) * o->width;
        for (int b = 0; b < BLOCKS; b++) {
                bool white = bits >> (BLOCKS - 1 - b) & 1;
                memset(first + block_edge(o, b), white ? WHITE : BLACK, (size_t)(block_edge(o, b + 1) - block_edge(o, b)));
        }
        for (int y = 1; y < row_height(o); y++)
                memcpy(first + (size_t)y * o->width, first, (size_t)o->width);
}

/* Mean of the middle of a block against the middle between black and white. */
static bool block_is_white(const struct options *o, const uint8_t *luma, int row, int block)
{
        int left = block_edge(o, block), right = block_edge(o, block + 1), w = right - left, h = row_height(o);
        unsigned sum = 0, n = 0;
        for (int y = row * h + h / 4; y < row * h + h - h / 4; y++) {
                for (int x = left + w / 4; x < right - w / 4; x++, n++)
                        sum += luma[(size_t)y * o->width + x];
        }
        return n && sum / n > 125;
}

static bool read_row(const struct options *o, const uint8_t *luma, int row, uint32_t *value)
{
        uint64_t bits = 0;
        for (int b = 0; b < BLOCKS; b++)
                bits = bits << 1 | block_is_white(o, luma, row, b);
        *value = (uint32_t)(bits >> (CHECK_BITS + 2)) & VALUE_MASK;
        return bits == row_bits(*value);
}

static void draw_texture(const struct options *o, uint8_t *luma, int64_t number)
{
        bool flash = number * o->fps_den % o->fps_num < o->fps_den;
        int top = 2 * row_height(o);
        for (int y = top; y < o->height; y++) {
                uint8_t *line = luma + (size_t)y * o->width;
                if (flash) {
                        memset(line, WHITE, (size_t)o->width);
                        continue;
                }
                for (int x = 0; x < o->width; x++)
                        line[x] = (uint8_t)(40 + ((((x + 3 * number) >> 3) ^ ((y + number) >> 3)) & 31) * 4);
        }
}

static void wait_until_mono(int64_t mono_us)
{
        struct timespec ts = {.tv_sec = mono_us / US_PER_S, .tv_nsec = mono_us % US_PER_S * 1000};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR) {
        }
}

static int write_frames(const struct options *o)
{
        size_t luma_len = (size_t)o->width * o->height, len = luma_len * 3 / 2;
        uint8_t *frame = mem_alloc(len);
        memset(frame + luma_len, 128, len - luma_len);
        int64_t start_us = clock_mono_us();
        int status = 0;
        for (int64_t n = 0; n < o->frames && !status; n++) {
                draw_texture(o, frame, n);
                if (o->pace)
                        wait_until_mono(start_us + n * US_PER_S * o->fps_den / o->fps_num);
                draw_row(o, frame, 0, (uint32_t)n);
                draw_row(o, frame, 1, (uint32_t)(clock_wall_us() / US_PER_MS));
                status = fwrite(frame, 1, len, stdout) != len || fflush(stdout) != 0;
        }
        free(frame);
        return status;
}

static int read_frames(const struct options *o)
{
        size_t len = (size_t)o->width * o->height;
        uint8_t *luma = mem_alloc(len);
        setvbuf(stdout, NULL, _IOLBF, 0); /* whoever reads the lines takes the time of each */
        while (fread(luma, 1, len, stdin) == len) {
                uint32_t number, wall_ms;
                if (read_row(o, luma, 0, &number) && read_row(o, luma, 1, &wall_ms))
                        printf("%u %u\n", number, wall_ms);
                else
                        printf("- -\n");
        }
        free(luma);
        return 0;
}

static int usage(void)
{
        fprintf(stderr, "usage: stamp write --size WxH --fps NUM[/DEN] --frames N [--pace]\n"
                        "       stamp read --size WxH\n"
                        "W and H: 160 to 4096, even; NUM/DEN: 1 to 240\n");
        return 2;
}

static bool parse(struct options *o, int argc, char **argv)
{
        for (int i = 2; i < argc; i++) {
                bool more = i + 1 < argc;
                if (strcmp(argv[i], "--size") == 0 && more) {
                        if (sscanf(argv[++i], "%dx%d", &o->width, &o->height) != 2)
                                return false;
                } else if (strcmp(argv[i], "--fps") == 0 && more) {
                        char *end;
                        o->fps_num = strtoll(argv[++i], &end, 10);
                        o->fps_den = *end == '/' ? strtoll(end + 1, NULL, 10) : 1;
                } else if (strcmp(argv[i], "--frames") == 0 && more) {
                        o->frames = strtoll(argv[++i], NULL, 10);
                } else if (strcmp(argv[i], "--pace") == 0) {
                        o->pace = true;
                } else {
                        return false;
                }
        }
        return o->width >= 160 && o->height >= 90 && o->width <= 4096 && o->height <= 4096 && o->width % 2 == 0 &&
               o->height % 2 == 0 && o->fps_den > 0 && o->fps_num >= o->fps_den && o->fps_num <= 240 * o->fps_den;
}

int main(int argc, char **argv)
{
        struct options o = {.fps_num = 30, .fps_den = 1, .frames = INT64_MAX};
        if (argc < 2 || !parse(&o, argc, argv))
                return usage();
        if (strcmp(argv[1], "write") == 0)
                return write_frames(&o);
        if (strcmp(argv[1], "read") == 0)
                return read_frames(&o);
        return usage();
}
