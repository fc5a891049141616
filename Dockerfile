# Dataflow's workers run in this image, and so may any command: docs/scaling.md.
FROM python:3.11-slim

# Starts a worker; of the version of Beam in requirements.txt.
COPY --from=apache/beam_python3.11_sdk:2.77.0 /opt/apache/beam /opt/apache/beam
ENTRYPOINT ["/opt/apache/beam/boot"]

WORKDIR /opt/captioner
COPY requirements.txt .
RUN pip install --no-cache-dir --no-deps -r requirements.txt
COPY setup.py README.md ./
COPY model model
COPY pipelines pipelines
RUN pip install --no-cache-dir --no-deps . && pip check
