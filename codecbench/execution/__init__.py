"""How a run is carried out, on one machine or on many; what happens is reported as events, and nothing is drawn.

runner          begins a run, and takes it through its stages
rates           the stages: rates and distortions,
sets                whole data sets as one stream,
latents             latents of learned codecs, for the report,
pictures            pictures that are missing, and each codec's worst images,
timings             timings, in interleaved rounds
context         what every stage is given, and what it reports; ``limits`` is what every job is given
engines         where jobs run: worker processes, or a cluster's workers; a stage drains its jobs into their slots
workers         a job in a worker process: images out, bytes back, compared and stored
metrics         plugin metrics, in a worker process
sandbox         processes that run plugin code; ``sandbox_child`` is what happens in them, ``messages`` what they say
watch           what a codec does there beside coding
cluster         Dask's workers as an engine; ``cluster_worker`` is what runs on a worker
finished        a finished command is known again without importing its codecs
"""
