// Reads pictures with libpng's full interface. Its errors jump out of calls, which Swift cannot
// express: so all that lies between the first call and the last row is here, and nothing else.
#pragma once
#include <png.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Bytes of a message with its zero.
enum { pngMessageSize = 160 };

// A file in memory, and what libpng has to say about it.
typedef struct {
  const unsigned char *bytes;
  size_t count;
  size_t position;
  // Bytes that may be asked for until the end of the pixels; behind their last row libpng would
  // inflate whatever follows.
  size_t allowance;
  // The error, and the last warning; empty if there was none.
  char error[pngMessageSize];
  char warning[pngMessageSize];
} PNGSource;

static inline void pngCopyMessage(char *target, const char *text) {
  strncpy(target, text, pngMessageSize - 1);
  target[pngMessageSize - 1] = 0;
}

static inline void pngFail(png_structp png, png_const_charp text) {
  pngCopyMessage(((PNGSource *)png_get_error_ptr(png))->error, text);
  png_longjmp(png, 1);
}

static inline void pngWarn(png_structp png, png_const_charp text) {
  pngCopyMessage(((PNGSource *)png_get_error_ptr(png))->warning, text);
}

static inline void pngTake(png_structp png, png_bytep target, size_t count) {
  PNGSource *source = (PNGSource *)png_get_io_ptr(png);
  if (count > source->count - source->position) png_error(png, "the file ends too early");
  if (count > source->allowance) png_error(png, "holds more data than its pixels need");
  source->allowance -= count;
  memcpy(target, source->bytes + source->position, count);
  source->position += count;
}

// Colors of a row of palette indices, which lie in the last third of its place.
static inline void pngApplyPalette(png_structp png, png_bytep row, png_uint_32 width,
                                   png_const_colorp palette, int colors) {
  const unsigned char *indices = row + (size_t)2 * width;
  for (png_uint_32 x = 0; x < width; x++) {
    int index = indices[x];
    if (index >= colors) png_error(png, "a pixel's index is beyond the palette");
    row[(size_t)3 * x] = palette[index].red;
    row[(size_t)3 * x + 1] = palette[index].green;
    row[(size_t)3 * x + 2] = palette[index].blue;
  }
}

// The calls that may jump.
static inline void pngReadRows(png_structp png, png_infop info, png_uint_32 width,
                               png_uint_32 height, unsigned char *pixels) {
  png_read_info(png, info);
  if (png_get_image_width(png, info) != width || png_get_image_height(png, info) != height) {
    png_error(png, "has two headers");
  }
  int type = png_get_color_type(png, info);
  int isIndexed = type == PNG_COLOR_TYPE_PALETTE;
  if (isIndexed) {
    png_set_packing(png);
  } else {
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    if (!(type & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(png);
  }
  int passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  size_t stride = (size_t)3 * width;
  if (png_get_rowbytes(png, info) != (isIndexed ? width : stride)) {
    png_error(png, "rows have another size than the header says");
  }
  PNGSource *source = (PNGSource *)png_get_io_ptr(png);
  for (int pass = 0; pass < passes; pass++) {
    for (png_uint_32 y = 0; y < height; y++) {
      // More than the last row of a picture that was not compressed, and the frames around it.
      int isLast = pass == passes - 1 && y == height - 1;
      if (isLast) source->allowance = (size_t)8 * width + (1 << 14);
      png_read_row(png, pixels + y * stride + (isIndexed ? (size_t)2 * width : 0), NULL);
    }
  }
  if (isIndexed) {
    png_colorp palette = NULL;
    int colors = 0;
    png_get_PLTE(png, info, &palette, &colors);
    for (png_uint_32 y = 0; y < height; y++) {
      pngApplyPalette(png, pixels + y * stride, width, palette, colors);
    }
  }
  source->allowance = SIZE_MAX;
  png_read_end(png, NULL);
}

// Reads a picture as 8-bit RGB without its alpha channel; the high byte of 16-bit samples counts.
//
// `width` and `height` are the header's; `pixels` has room for 3 * width * height bytes, all of
// which are written. Returns whether that succeeded; `source` says why not.
static inline int pngReadRGB(PNGSource *source, png_uint_32 width, png_uint_32 height,
                             unsigned char *pixels) {
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, source, pngFail, pngWarn);
  if (png == NULL) return 0;
  png_infop info = png_create_info_struct(png);
  if (info == NULL || setjmp(png_jmpbuf(png))) {
    png_destroy_read_struct(&png, &info, NULL);
    return 0;
  }
  source->allowance = SIZE_MAX;
  png_set_read_fn(png, source, pngTake);
  png_set_user_limits(png, width, height);
  png_set_chunk_malloc_max(png, 1 << 20);
  png_set_chunk_cache_max(png, 16);
  png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_WARN_DISCARD);
  pngReadRows(png, info, width, height, pixels);
  png_destroy_read_struct(&png, &info, NULL);
  return 1;
}
