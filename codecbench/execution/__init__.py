"""How a run is carried out, on one machine or on many; ``codecbench.execution.runner`` begins it.

passes        the passes of a run: rates and distortions, latents, timings
engines       where jobs run: lanes of processes, or a cluster's workers; drained job by job
workers       a job in a worker process: images out, bytes back, compared and stored
hosts         the processes that run plugin code, one to encode and one to decode; ``serving`` is what happens in
                  them, and ``messages`` travel between
timing_pass   interleaved rounds of timings; ``timing`` is what happens in a host
cluster       Dask's workers as an engine: ``reaching`` finds a scheduler, ``remote`` is what runs on a worker
stamps        a finished command is known again without importing its codecs
"""
