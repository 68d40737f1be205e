/* One frame of many streams through a causal filter, and the ring buffers of the frames before it.

       y[s, c, p] = sum over the taps j of c of
                    weight[c, j] * (the frame of s that lies lag[c, j] frames back)[c, p]

   A group of channels that looks back `depth` frames has a ring of as many for every stream: frame t
   lies in place t % depth. The new frame takes the place of the oldest one, the one that is `depth`
   back, as soon as that has been read. */

typedef struct {
    const float *source; /* the new frames, dense, one stream after the other */
    float *target;
    const float *taps; /* a group's are (channels, taps); (taps, channels) in channels-last */
    int64_t num_streams, num_channels, num_positions, num_groups;
    const int64_t *channels, *num_taps, *lags; /* by group; the lags of all, one by one */
    const int64_t *depths;                     /* by group: frames of its ring, 0 for none */
    float *const *rings;                       /* by group: (pool, depth, frame of the group) */
    const int64_t *places, *counts; /* by stream: its place in the pool, frames that it had before */
    int64_t channels_last;
    int64_t machine;    /* number of the instruction set; see mixtconv_instruction_set */
    int64_t num_strips; /* the library's own */
} Step;

/* One group of channels. */
typedef struct {
    int64_t first_channel, channels, num_taps, depth;
    const float *taps;
    const int64_t *lags;
    float *ring;
} StepGroup;

/* A row of `length` numbers and what it meets. */
typedef struct {
    const float *met[MOST_UNROLLED]; /* by tap: the new frame, or one of the ring */
    const float *source;
    float *target, *oldest; /* the new frame is copied to `oldest`, unless that is null */
    const float *weights;   /* a tap's are `length` numbers if `along`, else one for the row */
    int64_t length;
    int along;
} StepRow;

/* The loop of one instruction set for one number of taps. */
typedef void (*StepLoop)(const StepRow *row);
