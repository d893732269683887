/* Times LightGBM's fastest single-row call: no Python, no batch, and everything set up beforehand.
 *
 *   single_row LIB_LIGHTGBM MODEL ROWS_F32 FEATURES
 *
 * The library is loaded at run time, because its Python package contains no headers. The program prints JSON. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { DTYPE_F32 = 0, PREDICT_RAW = 1, PASSES = 9 };

typedef int (*load_fn)(const char *file, int *iterations, void **booster);
typedef int (*init_fn)(void *booster, int predict_type, int start_iteration, int iterations, int data_type,
                       int32_t features, const char *parameters, void **config);
typedef int (*predict_fn)(void *config, const void *row, int64_t *length, double *score);
typedef const char *(*error_fn)(void);

static void fail(const char *doing, const char *why) {
    fprintf(stderr, "%s: %s\n", doing, why);
    exit(1);
}

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found) fail(name, "not in this library");
    return found;
}

static float *read_floats(const char *name, size_t *count) {
    FILE *file = fopen(name, "rb");
    if (!file) fail(name, "cannot be opened");
    fseek(file, 0, SEEK_END);
    long bytes = ftell(file);
    rewind(file);
    float *floats = malloc((size_t)bytes);
    if (!floats || fread(floats, 1, (size_t)bytes, file) != (size_t)bytes) fail(name, "cannot be read");
    fclose(file);
    *count = (size_t)bytes / sizeof *floats;
    return floats;
}

static double cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int ascending(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

int main(int count, char **arguments) {
    if (count != 5) fail("usage", "single_row LIB_LIGHTGBM MODEL ROWS_F32 FEATURES");
    void *library = dlopen(arguments[1], RTLD_NOW);
    if (!library) fail("loading LightGBM", dlerror());
    load_fn load = (load_fn)symbol(library, "LGBM_BoosterCreateFromModelfile");
    init_fn init = (init_fn)symbol(library, "LGBM_BoosterPredictForMatSingleRowFastInit");
    predict_fn predict = (predict_fn)symbol(library, "LGBM_BoosterPredictForMatSingleRowFast");
    error_fn last_error = (error_fn)symbol(library, "LGBM_GetLastError");

    int iterations = 0, features = atoi(arguments[4]);
    void *booster = NULL, *config = NULL;
    if (load(arguments[2], &iterations, &booster)) fail("reading the model", last_error());
    if (init(booster, PREDICT_RAW, 0, -1, DTYPE_F32, features, "num_threads=1", &config))
        fail("setting up", last_error());

    size_t floats = 0;
    float *rows = read_floats(arguments[3], &floats);
    size_t row_count = floats / (size_t)features;
    double took[PASSES], sum = 0;
    /* The first pass warms up and is not counted. */
    for (int pass = -1; pass < PASSES; pass++) {
        double started = cpu_ns();
        sum = 0;
        for (size_t row = 0; row < row_count; row++) {
            int64_t length = 0;
            double score = 0;
            if (predict(config, rows + row * (size_t)features, &length, &score)) fail("predicting", last_error());
            sum += score;
        }
        if (pass >= 0) took[pass] = (cpu_ns() - started) / (double)row_count;
    }
    qsort(took, PASSES, sizeof *took, ascending);
    printf("{\"ns_per_row\": %.1f, \"mean\": %.9f}\n", took[PASSES / 2], sum / (double)row_count);
    return 0;
}
