# The agent alone: under 40 MB on top of python:slim, no compiler and no pip in it, uid 65532.
FROM python:3.12-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv --without-pip /opt/health-agent
# The dependencies first, with those of the extras `docker`, `gpu` and `grpc`: this layer is kept until pyproject.toml changes.
COPY pyproject.toml ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*p['dependencies'], *(one for extra in ('docker', 'gpu', 'grpc') for one in p['optional-dependencies'][extra]), sep='\n')" > /tmp/requirements.txt \
 && pip --python /opt/health-agent/bin/python install --no-compile -r /tmp/requirements.txt
COPY README.md LICENSE ./
COPY agent agent
RUN pip --python /opt/health-agent/bin/python install --no-compile --no-deps . \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/health-agent/lib

FROM python:3.12-slim-bookworm
# The base comes without bytecode and our root file system may be read-only: without this step every `healthcheck`
# would compile half the standard library again. pip goes: nothing is installed here any more. The state's folder is
# everybody's, as /tmp is: an agent that signals a server runs as the server's user.
RUN rm -rf /usr/local/lib/python3.12/site-packages/* /usr/local/lib/python3.12/ensurepip /usr/local/bin/pip* \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(test|tests|idlelib|lib2to3|tkinter|turtledemo|pydoc_data)/' /usr/local/lib/python3.12 \
 && install -d -m 1777 /var/lib/health-agent
COPY --from=build /opt/health-agent /opt/health-agent
ENV PATH=/opt/health-agent/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 9809
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["health-agent", "healthcheck"]
ENTRYPOINT ["health-agent"]
