"use strict";

// What is seen: the clouds on the floor, from the listener's eyes. Drawn when something has changed.

const POINT_M = 0.016;
const SIGHT_DEGREES = 60; // from top to bottom, and at least from left to right
const LOOKING_DOWN = 0.2; // radians
const SLOW_MS = 45; // between two pictures: then fewer points are drawn while something moves
const FAST_MS = 25;
const LEAST_SHARE = 0.02;
const FLOOR_M = 20; // in every direction

class World {
  constructor(canvas, names, musicians, floor) {
    Object.assign(this, { canvas, names, musicians, floor });
    this.renderer = new THREE.WebGLRenderer({ canvas });
    this.share = 1; // of the points that are drawn while something moves
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(SIGHT_DEGREES, 1, 0.05, 200);
    this.groups = musicians.map(() => new THREE.Group());
    this.scene.add(...this.groups);
    this.paint();
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
    this.labels = musicians.map(({ name }) => Object.assign(document.createElement("span"), { textContent: name }));
    names.append(...this.labels);
    this.boxes = musicians.map(() => new THREE.Box3(new THREE.Vector3(-0.4, -0.9, -0.4), new THREE.Vector3(0.4, 0.9, 0.4)));
  }

  /** The floor and the background in the colours of the page. */
  paint() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => new THREE.Color(style.getPropertyValue(name).trim());
    this.scene.background = colour("--ground");
    if (this.grid) this.scene.remove(this.grid);
    this.grid = new THREE.LineSegments(this.floorLines(), new THREE.LineBasicMaterial({ color: colour("--line") }));
    this.grid.position.y = this.floor;
    this.scene.add(this.grid);
  }

  /** A net of 1 m, in short pieces: some software renderers drop a line that passes the camera. */
  floorLines() {
    const ends = [];
    for (let across = -FLOOR_M; across <= FLOOR_M; across++) {
      for (let along = -FLOOR_M; along < FLOOR_M; along++) {
        ends.push(across, 0, along, across, 0, along + 1, along, 0, across, along + 1, 0, across);
      }
    }
    const geometry = new THREE.BufferGeometry();
    geometry.addAttribute("position", new THREE.BufferAttribute(new Float32Array(ends), 3));
    return geometry;
  }

  async load() {
    await Promise.all(this.musicians.map(async ({ cloud }, n) => this.groups[n].add(this.points(await loadCloud(cloud), n))));
  }

  points({ metres, rgb }, n) {
    const geometry = new THREE.BufferGeometry();
    geometry.addAttribute("position", new THREE.BufferAttribute(metres, 3));
    if (rgb) geometry.addAttribute("color", new THREE.BufferAttribute(rgb, 3, true));
    geometry.computeBoundingBox();
    this.boxes[n] = geometry.boundingBox;
    const plain = [0x2f6db5, 0xd9822b, 0x1d7a46, 0xb3372f, 0x7a55b5][n % 5];
    const colours = rgb ? { vertexColors: THREE.VertexColors } : { color: plain };
    return new THREE.Points(geometry, new THREE.PointsMaterial({ size: POINT_M, ...colours }));
  }

  /** Takes fewer points, or more again, by the time since the last picture in a movement. */
  keepUp(milliseconds) {
    if (milliseconds > SLOW_MS) this.share = Math.max(LEAST_SHARE, this.share * 0.7);
    else if (milliseconds < FAST_MS) this.share = Math.min(1, this.share * 1.1);
  }

  /** Draws what a listener sees. isHeard: of each musician. share: of the points; they lie in no order. */
  draw({ place, facing }, isHeard, share) {
    const { canvas, camera } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    camera.aspect = width / height;
    const half = Math.tan((SIGHT_DEGREES * Math.PI) / 360) / Math.min(1, camera.aspect);
    camera.fov = (Math.atan(half) * 360) / Math.PI;
    camera.updateProjectionMatrix();
    camera.position.set(...place);
    camera.rotation.set(-LOOKING_DOWN, facing, 0, "YXZ");
    camera.updateMatrixWorld();
    this.groups.forEach((group, n) => {
      group.position.set(...this.musicians[n].place);
      for (const { geometry, material } of group.children) {
        geometry.setDrawRange(0, Math.ceil(share * geometry.attributes.position.count));
        Object.assign(material, { transparent: !isHeard[n], opacity: isHeard[n] ? 1 : 0.15 });
      }
    });
    this.renderer.render(this.scene, camera);
    this.labels.forEach((label, n) => this.putLabel(label, n));
  }

  putLabel(label, n) {
    const top = new THREE.Vector3(...this.musicians[n].place);
    top.y += this.boxes[n].max.y + 0.12;
    top.project(this.camera);
    label.hidden = top.z > 1 || Math.abs(top.x) > 0.97;
    label.style.left = `${50 + 50 * top.x}%`;
    label.style.top = `${50 - 50 * Math.min(top.y, 0.9)}%`;
  }

  ray(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const caster = new THREE.Raycaster();
    const at = new THREE.Vector2((2 * (event.clientX - left)) / width - 1, 1 - (2 * (event.clientY - top)) / height);
    caster.setFromCamera(at, this.camera);
    return caster.ray;
  }

  /** The number of the nearest musician at a pointer, or -1, and the point of its box there. */
  pick(event) {
    const ray = this.ray(event);
    let found = { number: -1, distance: Infinity };
    this.boxes.forEach((box, number) => {
      const point = ray.intersectBox(box.clone().translate(this.groups[number].position), new THREE.Vector3());
      const distance = point ? point.distanceTo(ray.origin) : Infinity;
      if (distance < found.distance) found = { number, distance, point };
    });
    return found;
  }

  /** Where the ray of a pointer meets the level `height`; null if it does not, or far away. */
  meet(event, height) {
    const ray = this.ray(event);
    const point = ray.intersectPlane(new THREE.Plane(new THREE.Vector3(0, 1, 0), -height), new THREE.Vector3());
    return point && point.distanceTo(ray.origin) < 30 ? point : null;
  }
}
