FROM python:3.13-slim AS build
COPY . /src
RUN python -m venv /opt/sameas \
    && /opt/sameas/bin/pip install --no-cache-dir --constraint /src/requirements.lock \
        /src/client /src

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin sameas \
    && install --directory --owner sameas --group sameas --mode 700 /data
COPY --from=build /opt/sameas /opt/sameas
USER sameas
# Within the container every address, since the host decides what it publishes.
ENV SAMEAS_DATA=/data SAMEAS_HOST=0.0.0.0 PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 50051
ENTRYPOINT ["/opt/sameas/bin/sameas"]
CMD ["serve"]
